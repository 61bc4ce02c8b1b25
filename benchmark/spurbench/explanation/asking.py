"""Running a method's own code: its faults are told as its own, and what it changes for everybody is changed back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import MethodError, SpurbenchError


@contextmanager
def asking(method: str, fault: str, mend: str) -> Iterator[None]:
    """A method's code runs inside.

    Torch's grad mode and default dtype are afterwards what they were, whatever it did to them.

    Args:
        method: its name.
        fault: what does not work if it fails, e.g. "its predictor fails on photos".
        mend: what its author can do about it.

    Raises:
        MethodError: it raised something, or called for an exit of the whole program; what says enough itself is passed
            on as it is.
    """
    grad, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    try:
        yield
    except SpurbenchError:
        raise
    except (Exception, SystemExit) as error:
        # Torch's hints are for whoever debugs it, and ours follows.
        what = f"{type(error).__name__}: {error}".partition(" Hint: ")[0].rstrip(" .:")
        raise MethodError(f"method '{method}': {fault}: {what}; {mend}") from error
    finally:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
