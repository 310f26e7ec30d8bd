# The mapper as an image. Run it as docs/container.md says: on the host's network, with two capabilities.
#
# BASE is a Debian with a Python, such as this one. One that has nft and ip6tables already needs no archive, and
# PIP_FIND_LINKS with PIP_NO_INDEX has pip take everything from a directory of the build context, below /src.
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
# `status` exits with 3 where a container is refused: that is no illness of the mapper's. 1 is.
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s \
    CMD DockerIPV6Mapper.py --quiet status --json >/dev/null || [ $? -eq 3 ]
ENTRYPOINT ["DockerIPV6Mapper.py"]
