"""`python -m dockeripv6mapper`."""

from dockeripv6mapper.cli.main import main

if __name__ == "__main__":
    main()
