"""Secret values: which ones this process knows, and how they are masked before text leaves it.

Credentials and secret parameters are registered where they are read. From then on the messages of Treadle's errors, the records
of failures, log records, the store and the command line show `***` in their place. The registry is the one piece of
process-wide state; a worker gets its content with each run.
"""

from treadle.secrets.exceptions import masked_exception
from treadle.secrets.known import MASK, known_secrets, mask_secrets
from treadle.secrets.names import looks_secret
from treadle.secrets.patterns import mask_patterns, mask_setting
from treadle.secrets.registering import register_secrets

__all__ = [
    "MASK",
    "known_secrets",
    "looks_secret",
    "mask_patterns",
    "mask_secrets",
    "mask_setting",
    "masked_exception",
    "register_secrets",
]
