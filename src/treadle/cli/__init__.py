"""The command line: arguments in, a session called, an exit code out; no logic. One file a command; `main.py` finds them."""
