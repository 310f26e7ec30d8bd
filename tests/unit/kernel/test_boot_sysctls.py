"""Reading files of sysctl.d."""

from pathlib import Path

from dockeripv6mapper.kernel.boot_sysctls import read_boot_sysctls


def test_the_last_file_by_name_decides_and_an_earlier_directory_replaces_files(tmp_path: Path) -> None:
    """As systemd-sysctl and procps read them; a slash in a dotted name is a dot in a link's name."""
    files = {
        "etc/50-a.conf": "# net.ipv6.conf.all.forwarding = 9\nnet.ipv6.conf.all.forwarding = 0\n",
        "etc/90-b.conf": "net/ipv6/conf/all/forwarding=1\n-net.ipv6.conf.eth0/100.accept_ra = 2\n",
        "usr/90-b.conf": "net.ipv6.conf.all.forwarding = 7\n",
        "usr/10-c.conf": "net.ipv4.ip_forward = 1\nnet/ipv6/conf/eth0.7/accept_ra = 1\nnonsense\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    directories = [tmp_path / "etc", tmp_path / "gone", tmp_path / "usr"]
    assert read_boot_sysctls(directories) == {
        "conf/all/forwarding": "1",
        "conf/eth0.100/accept_ra": "2",
        "conf/eth0.7/accept_ra": "1",
    }
