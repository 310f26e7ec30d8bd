"""The command line: parse, call, render. The only place that exits.

    main        the program: its options, the daemon in fore- or background, errors and exit codes
    background  -d start|stop|restart|status
    address     the address of a name
    status      every labelled container, in several forms
    views       those forms
    inspect     plan, doctor
    cleanup     what carries our mark, removed
    output      exit codes, and where results go

What a command needs besides its options is imported inside it, so that `--help` need not wait for anything,
and `address --subnet` not for Docker's and netlink's libraries.
"""
