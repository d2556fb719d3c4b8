"""How the head of the face template is laid over a volume, and how far that can be trusted.

The measure is Mattes' mutual information, which needs no common contrast. Three steps: turned, moved and scaled on a
coarse grid, from several starts in each of the 24 ways in which axes can be mixed up; then all twelve numbers of an
affine map; last, the same for the neighbourhood of the face. The other 23 ways only bear witness: a head that fits one
of them better lies otherwise than its header says, and what fits all of them alike is no head.

One thread and no random sampling: the same volume gives the same map.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes
from scipy.spatial.transform import Rotation

from .face_template import Floats, Mask, Matrix, Upright, affine_of, template

_TOP_PERCENTILE, _TOP_MM, _HALF_HEAD_MM = 99.8, 110.0, 60.0
_NODS = (-30.0, -15.0, 0.0, 15.0, 30.0)
_TRIES, _KEPT = 4, 2
_TURNED_DEGREES = 60.0
_NEAR_FACE_MM = 40.0
_BINS, _HEAD_BINS = 32, 16
_NONE = 1e-6


@dataclass(frozen=True, eq=False)
class Match:
    """A map from the volume's to the template's RAS millimetres, and the mutual information there, in nats."""

    matrix: Matrix
    information: float


@dataclass(frozen=True, eq=False)
class Alignment:
    """The template laid over a volume, and what speaks for it.

    Attributes:
        matrix: From the volume's to the template's RAS millimetres.
        lead: Mutual information of the upright head over that of the best other way to hold it.
        information: Mutual information within the head, in nats.
        overlap: Dice of the two bodies where both images see something.
        head_litres: How much of the template's head lies in the field of view, at the volume's scale.
    """

    matrix: Matrix
    lead: float
    information: float
    overlap: float
    head_litres: float

    @property
    def scales(self) -> tuple[float, float, float]:
        """How much the volume is stretched along three right-angled axes to become the template, largest first."""
        first, second, third = np.linalg.svd(self.matrix[:3, :3], compute_uv=False).tolist()
        return first, second, third

    @property
    def is_upright(self) -> bool:
        """Whether the head is turned by less than 60 degrees."""
        return not _is_turned(self.matrix)


@dataclass(frozen=True)
class _Search:
    """How a match is improved: by all twelve numbers or by seven, the first and the last step, and how steps shrink."""

    is_affine: bool
    first_mm: float
    last_mm: float
    shrinking: float


_COARSE = _Search(is_affine=False, first_mm=8.0, last_mm=0.3, shrinking=0.6)
_WHOLE = _Search(is_affine=True, first_mm=4.0, last_mm=0.1, shrinking=0.6)
_FACE = _Search(is_affine=True, first_mm=4.0, last_mm=0.02, shrinking=0.8)
_MOST_STEPS = 200


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Keeps ITK to one thread, in this whole process, as its sums depend on how they are shared out."""
    import SimpleITK as sitk

    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


@_one_thread()
def align(image: Upright) -> Alignment:
    """The template's head laid over the whole image, and how well it fits."""
    model, coarse, middle = template(), image.coarser(4), image.coarser(2)
    sketch, pair = _Pair(image.coarser(8), model.coarse.coarser(2)), _Pair(coarse, model.coarse)
    turns = Rotation.create_group("O")
    ways = [_ranked_starts(sketch, turn) for turn in turns]
    upright_way = ways.pop(int(np.argmin(turns.magnitude())))
    held = sorted((pair.improved(match, _COARSE) for match in upright_way[:_TRIES]), key=_by_information)
    rivals = sorted((matches[0] for matches in ways), key=_by_information)
    lead = _head_information(pair, held[0]) / _best_other_way(pair, rivals[:_TRIES])
    pair = _Pair(middle, model.middle)
    best = min((pair.improved(match, _WHOLE) for match in held[:_KEPT]), key=_by_information)
    return Alignment(best.matrix, lead, *_evidence(pair, best))


@_one_thread()
def settled_on_face(image: Upright, matrix: Matrix) -> Matrix:
    """The map that fits the neighbourhood of the face best, from ``matrix`` on."""
    model, middle = template(), image.coarser(2)
    near = middle.seen & (model.face_distance.sampled(matrix @ middle.affine, middle.shape) < _NEAR_FACE_MM)
    if not near.any():
        return matrix
    return _Pair(middle, model.middle, near).improved(Match(matrix, 0.0), _FACE).matrix


class _Pair:
    """An image and the template on one spacing, laid over each other where ``region`` is true, or all that is seen."""

    def __init__(self, image: Upright, model: Upright, region: Mask | None = None) -> None:
        region = image.seen if region is None else region
        self.image = image
        self.model = model
        self._fixed = _itk_image(image.values, image)
        self._moving = _itk_image(model.values, model)
        self._region = _itk_image(region.astype(np.uint8), image)
        self._centre = image.points(region).mean(axis=0)

    def information(self, matrix: Matrix) -> float:
        """Mutual information at ``matrix``, in nats; 0 if the images do not meet."""
        import SimpleITK as sitk

        method = self._method(self._transform(sitk.AffineTransform(3), matrix))
        try:
            return -float(method.MetricEvaluate(self._fixed, self._moving))
        except RuntimeError:  # ITK's "all samples map outside"
            return 0.0

    def improved(self, match: Match, search: _Search) -> Match:
        """The best match near ``match``; itself without information if the images do not meet."""
        import SimpleITK as sitk

        kind = sitk.AffineTransform(3) if search.is_affine else sitk.Similarity3DTransform()
        transform = self._transform(kind, match.matrix)
        method = self._method(transform)
        method.SetOptimizerAsRegularStepGradientDescent(
            search.first_mm, search.last_mm, _MOST_STEPS, search.shrinking, 1e-7
        )
        method.SetOptimizerScalesFromPhysicalShift()
        try:
            method.Execute(self._fixed, self._moving)
        except RuntimeError:
            return Match(match.matrix, 0.0)
        linear = np.reshape(transform.GetMatrix(), (3, 3))
        shift = self._centre + transform.GetTranslation() - linear @ self._centre
        return Match(affine_of(linear, shift), -float(method.GetMetricValue()))

    def _method(self, transform: Any) -> Any:
        import SimpleITK as sitk

        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(_BINS)
        method.SetMetricFixedMask(self._region)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetInitialTransform(transform, inPlace=True)
        return method

    def _transform(self, transform: Any, matrix: Matrix) -> Any:
        transform.SetCenter(self._centre.tolist())
        transform.SetMatrix(matrix[:3, :3].ravel().tolist())
        transform.SetTranslation((matrix[:3, :3] @ self._centre + matrix[:3, 3] - self._centre).tolist())
        return transform


def _itk_image(array: Floats | NDArray[np.uint8], grid: Upright) -> Any:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing([grid.spacing] * 3)
    image.SetOrigin(grid.origin.tolist())
    return image


def _ranked_starts(pair: _Pair, turn: Rotation) -> list[Match]:
    """Starts of one way to hold the head, best first: several nods, with the middles or the tops laid on each other."""
    points = pair.image.points(pair.image.body)
    targets = _anchors(pair.model.points(pair.model.body))
    matches = []
    for nod in _NODS:
        rotation = (Rotation.from_euler("x", nod, degrees=True) * turn).as_matrix()
        for anchor, target in zip(_anchors(points @ rotation.T), targets, strict=True):
            matrix = affine_of(rotation, target - anchor)
            matches.append(Match(matrix, pair.information(matrix)))
    return sorted(matches, key=_by_information)


def _anchors(points: Matrix) -> tuple[Matrix, Matrix]:
    """The middle of a body, and the middle of a head by its top alone, whatever there is of the neck."""
    top = float(np.percentile(points[:, 2], _TOP_PERCENTILE))
    x, y, _ = points[points[:, 2] > top - _TOP_MM].mean(axis=0)
    return points.mean(axis=0), np.array([x, y, top - _HALF_HEAD_MM])


def _best_other_way(pair: _Pair, rivals: Sequence[Match]) -> float:
    """Mutual information in the head of the best match that is not upright; some of those that began so turn back."""
    improved = [pair.improved(match, _COARSE) for match in rivals]
    return max([_NONE, *(_head_information(pair, one) for one in improved if _is_turned(one.matrix))])


def _is_turned(matrix: Matrix) -> bool:
    first, _, last = np.linalg.svd(matrix[:3, :3])
    return bool(np.trace(first @ last) < 1 + 2 * np.cos(np.deg2rad(_TURNED_DEGREES)))


def _head_information(pair: _Pair, match: Match) -> float:
    return _evidence(pair, match)[0]


def _evidence(pair: _Pair, match: Match) -> tuple[float, float, float]:
    """Mutual information in the head, overlap of the bodies, and litres of head in view."""
    image, model = pair.image, pair.model
    values = model.sampled(match.matrix @ image.affine, image.shape, outside=-1)
    common = image.seen & (values >= 0)
    head, body = _filled(values > model.body_level) & common, _filled(image.body) & common
    head_voxels, body_voxels, common_voxels = (int(np.count_nonzero(mask)) for mask in (head, body, head & body))
    overlap = 2 * common_voxels / max(1, head_voxels + body_voxels)
    return _information(image.values[head], values[head]), overlap, head_voxels * image.spacing**3 / 1e6


def _filled(body: Mask) -> Mask:
    """The mask without holes in its axial slices, such as dark bone and airways."""
    return np.stack([binary_fill_holes(body[:, :, k]) for k in range(body.shape[2])], axis=2)


def _information(first: Floats, second: Floats) -> float:
    """Mutual information of two lists of values, in nats; 0 if they are empty."""
    if first.size == 0:
        return 0.0
    joint = np.histogram2d(first, second, _HEAD_BINS)[0] / first.size
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / independent[there])).sum())


def _by_information(match: Match) -> float:
    return -match.information
