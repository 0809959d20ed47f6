"""LiberTEM sums a store in two processes of its own, which read the blocks themselves."""

from __future__ import annotations

from environment import check_in

CHECK = """
import libertem, libertem.api, stemzarr
from libertem.udf.sum import SumUDF

if __name__ == "__main__":
    with libertem.api.Context.make_with(cpus=2, gpus=0) as context:
        for name in ("scan.zarr", "scan.dm4"):
            scan = stemzarr.open(name).stem.to_libertem(context)
            found = context.run_udf(dataset=scan, udf=SumUDF())["intensity"].data
            assert np.array_equal(found, values.sum(axis=(0, 1)))
    print("libertem", libertem.__version__, "numpy", np.__version__)
"""

if __name__ == "__main__":
    check_in(["libertem"], CHECK, beside=True)
