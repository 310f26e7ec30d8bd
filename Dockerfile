# The mapper's image. docs/container.md says how to run it: on the host's network, with two capabilities.
#
# BASE: a Debian image with Python. If it has nft and ip6tables, no packages are downloaded for them.
# PIP_FIND_LINKS and PIP_NO_INDEX=1: install Python packages from a directory of the build context, below /src.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
WORKDIR /src
COPY . .
RUN python3 -m venv /opt/dockeripv6mapper \
 && /opt/dockeripv6mapper/bin/pip install --no-cache-dir -r requirements.txt \
 && /opt/dockeripv6mapper/bin/pip install --no-cache-dir --no-deps . \
 && /opt/dockeripv6mapper/bin/pip uninstall --yes pip setuptools

FROM ${BASE}
RUN command -v nft ip6tables \
 || (apt-get update && apt-get install -y --no-install-recommends nftables iptables && rm -rf /var/lib/apt/lists/*)
COPY --from=build /opt/dockeripv6mapper /opt/dockeripv6mapper
ENV PATH=/opt/dockeripv6mapper/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Exit code 3 of `status` (a container is refused or pending) counts as healthy; 1 (an error) does not.
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s \
    CMD DockerIPV6Mapper.py --quiet status --json >/dev/null || [ $? -eq 3 ]
ENTRYPOINT ["DockerIPV6Mapper.py"]
