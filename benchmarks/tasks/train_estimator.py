"""Train an estimator.

Arguments: folder of the training sample, method ("sally", "alices" or "nde"), and as JSON the
keywords of ``train``, beside which "seed" is understood by both packages.
"""

from __future__ import annotations

import json
import sys

from stopwatch import Stopwatch
from training import columns, import_optimizers, make_estimator, seeding


def main(folder: str, method: str, keywords: str) -> None:
    """Time everything from the files on disk to the trained network; report all losses."""
    estimator = make_estimator(method)
    options = {"validation_split": None, "verbose": "none", **json.loads(keywords)}
    options.update(seeding(estimator.train, options.pop("seed", 1)))
    import_optimizers()
    with Stopwatch() as watch:
        _, losses = estimator.train(method, **columns(folder, method), **options)
    watch.report(losses)


if __name__ == "__main__":
    main(*sys.argv[1:])
