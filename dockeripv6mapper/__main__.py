"""`python -m dockeripv6mapper`."""

from dockeripv6mapper.cli import main

if __name__ == "__main__":
    main()
