"""What a node's function depends on: its code, the values and the project's code that it uses, versions of distributions.

`Fingerprinter.of(function)` follows a function from object to object, and returns a `CodeFingerprint`. Two processes that have
the same code and the same values compute the same digest, whatever their paths, hash seeds and versions of Python are.

    fingerprinter      the function, and everything that is reachable from it
      │
    objects            functions, classes and global variables of the project: what each refers to directly
    values             constants, containers, instances, arrays, closures
      │
    sources            the parsed files, and the definition that a live function was compiled from
    modules            whole modules, where single names cannot be followed
    distributions      code outside the project
    syntax · names     normalised syntax trees; the names that a function refers to

State: caches in each `Fingerprinter`. Values are read when it is used, so there is one for each plan.
"""

from treadle.fingerprint.fingerprinter import CodeFingerprint, Fingerprinter

__all__ = ["CodeFingerprint", "Fingerprinter"]
