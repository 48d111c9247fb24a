"""Ways of telling two data sets apart, each a lower bound on the total variation of what they were drawn from."""

import numpy as np
from scipy import sparse

from fac_lab import bounds
from fac_lab.studies.coverage_grid import above

FOLDS = 5
WITNESSES = ("features", "vectors", "missing")
"""Ways of telling two data sets apart: naive Bayes on which features are active; the five nearest neighbours among the
subject's vectors; whether a text activates any feature that the other data set lacks, which is what FAC looks at. Both
classifiers are as scikit-learn sets them: nothing was chosen on these data."""


def told_apart(p: np.ndarray | sparse.csr_matrix, q: np.ndarray | sparse.csr_matrix, *, seed: int = 0) -> float:
    """Lower bound on the total variation of what p and q `[n, d]` are samples of: `2 a - 1`.

    a is the balanced accuracy, over FOLDS folds of held-out rows, of naive Bayes (sparse rows: what is not 0 is active)
    or of the nearest neighbours (dense rows). A bound in the long run: the estimate scatters around a number that is at
    most the total variation, and may be negative.
    """
    from sklearn.naive_bayes import BernoulliNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    binary = sparse.issparse(p)
    both = sparse.vstack([p, q]).tocsr() if binary else np.concatenate([p, q])
    label = np.repeat([0, 1], [p.shape[0], q.shape[0]])
    hits = []
    for inside, outside in _folds(label, seed):
        model = BernoulliNB() if binary else make_pipeline(StandardScaler(), KNeighborsClassifier())
        right = model.fit(both[inside], label[inside]).predict(both[outside]) == label[outside]
        hits.append([right[label[outside] == side].mean() for side in (0, 1)])
    return bounds.tv_from_accuracy(float(np.mean(hits)))


def told_by_missing(p: sparse.csr_matrix, q: sparse.csr_matrix, delta: float | np.ndarray, *, seed: int = 0) -> float:
    """Lower bound on the total variation by one event: a text activates a feature that the rows of q lack.

    Features are looked for in some folds of rows and the event is counted in the other: what p has more of it than q.
    """
    active = [above(matrix, delta) for matrix in (p, q)]
    label = np.repeat([0, 1], [p.shape[0], q.shape[0]])
    both = sparse.vstack(active).tocsr()
    found = []
    for inside, outside in _folds(label, seed):
        count = [np.asarray(both[inside[label[inside] == side]].sum(axis=0)).ravel() for side in (0, 1)]
        lacking = (count[1] == 0) & (count[0] > 0)
        event = np.asarray(both[outside][:, lacking].sum(axis=1)).ravel() > 0
        found.append(event[label[outside] == 0].mean() - event[label[outside] == 1].mean())
    return float(np.mean(found))


def _folds(label: np.ndarray, seed: int):
    from sklearn.model_selection import StratifiedKFold

    return StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(label, label)
