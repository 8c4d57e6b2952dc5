"""Validators of datasets: what a catalog entry declares, the object that it names, and the check of a value.

    declaration   reads `validator:` of an entry, and the switch for all validators
    resolving     imports the class, schema or function, in the process that checks
    pandera       calls pandera's schemas, and reads what has failed
    checking      checks a value before it is saved and after it is loaded
    results       checks datasets on request
    failures      the record of a failed check

The names below are all that a process imports in which no dataset has a validator. State: none.
"""

from typing import Final

KEY: Final = "validator"
"""The key of a catalog entry."""
SWITCH: Final = "TREADLE_DATASET_VALIDATION"
"""The environment variable that turns all validators on or off; it has precedence over the setting DATASET_VALIDATION."""
LOAD: Final = "load"
SAVE: Final = "save"
