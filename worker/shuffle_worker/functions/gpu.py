"""Whether there is a GPU for functions, asked of the CUDA driver itself: no library needs to be installed for it."""

from __future__ import annotations

import ctypes

from shuffle_protocol.errors import InvalidSpec

DRIVER = "libcuda.so.1"
RESOURCE = "nvidia.com/gpu"


def why_none() -> str:
    """Why there is no GPU; "" where there is one."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return f"there is no CUDA driver ({DRIVER})"
    count = ctypes.c_int(0)
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if code:
        return f"the CUDA driver finds none (error {code})"
    return "" if count.value else "the CUDA driver finds none"


def need_gpu(what: str) -> None:
    """what: needs one, for people. Raises InvalidSpec where there is none."""
    why = why_none()
    if why:
        raise InvalidSpec(
            f"{what}, and here is no GPU: {why}. In a cluster backend: Gpu asks for one ({RESOURCE}) for each worker; "
            "to do without, leave backend out and annotate the parameter as pd.DataFrame, pl.DataFrame or pa.Table"
        )
