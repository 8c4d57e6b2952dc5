"""Validators of datasets: what a catalog entry declares, the object that it names, and the check of a value.

    declaration   reads `validator:` of an entry, and the switch for all validators
    resolving     imports the class, schema or function, in the process that checks
    pandera       calls pandera's schemas, and reads what has failed
    checking      checks a value before it is saved and after it is loaded

State: none.
"""
