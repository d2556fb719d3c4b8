import numpy as np
import pytest
import SimpleITK
from factories import ALL_ORIENTATIONS, ball, geometry, label_map, scheme, volume
from scipy import ndimage

from medseg.config.sections import ChannelSection, Intensity, PreprocessingSection
from medseg.core.case import Case, CaseId
from medseg.core.errors import GeometryError, InputError, LabelError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.labels import IGNORE_INDEX, LabelScheme, Region
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.transforms.preprocess import prepare_case, prepare_image
from medseg.transforms.resample import resample_class_indices

RAS = PreprocessingSection()
IMAGE = (ChannelSection(name="image"),)
UNIT = (ChannelSection(name="image", intensity=Intensity.UNIT),)


def smooth(grid: Geometry) -> Volume:
    noise = np.random.default_rng(0).normal(size=grid.shape)
    return Volume((ndimage.gaussian_filter(noise, 2)[None] * 2550).astype(np.float32), grid)


def case(image, label=None):
    return Case(CaseId("c1"), image, label)


def itk(array, grid, pixel):
    """The array on the grid; which way the world points does not matter as long as both grids share it."""
    image = SimpleITK.GetImageFromArray(array.astype(pixel).T)
    image.SetSpacing(grid.spacing)
    image.SetDirection((grid.affine[:3, :3] / grid.spacing).ravel().tolist())
    image.SetOrigin(grid.affine[:3, 3].tolist())
    return image


class TestGrids:
    @pytest.mark.parametrize("codes", ALL_ORIENTATIONS[::5])
    def test_image_lies_where_the_network_grid_says(self, codes):
        source = smooth(geometry((30, 28, 32), (1.0, 1.2, 1.5), codes, oblique_degrees=10))
        prepared = prepare_image(source, PreprocessingSection(spacing=(1.3, 1.0, 1.4)), UNIT)
        grid = prepared.restoration.network
        reference = itk(np.zeros(grid.shape), grid, np.float32)
        resampled = SimpleITK.Resample(
            itk(source.array[0], source.geometry, np.float32), reference, SimpleITK.Transform(), SimpleITK.sitkBSpline3
        )
        expected = SimpleITK.GetArrayFromImage(resampled).T / 255
        assert grid.axis_codes == "RAS"
        inner = (slice(7, -7),) * 3
        np.testing.assert_allclose(prepared.image[0][inner], expected[inner], atol=2e-3)

    @pytest.mark.parametrize("target", ["RAS", "SPL", "ASR", "RSA", "kji"])
    @pytest.mark.parametrize("codes", ALL_ORIENTATIONS[::3])
    def test_the_way_back_is_that_there_where_axes_lie_at_45_degrees(self, codes, target):
        half = np.sqrt(0.5)
        for turn in ((0, 1), (0, 2), (1, 2)):
            rotation = np.eye(4)
            rotation[np.ix_(turn, turn)] = [[half, -half], [half, half]]
            grid = geometry((4, 5, 6), codes=codes)
            source = Volume(np.arange(120.0).reshape(1, *grid.shape), Geometry(grid.shape, rotation @ grid.affine))
            prepared = prepare_image(source, PreprocessingSection(orientation=target), UNIT)
            back = prepared.restoration.axes.inverse.apply(prepared.image)
            np.testing.assert_allclose(back * 255, source.array, atol=1e-3)

    def test_restoration_leads_back(self):
        array = np.zeros((1, 7, 8, 9), np.int16)
        array[0, 1:4, 2:7, 3:8] = 5
        source = Volume(array, geometry(codes="LPS"))
        back = prepare_image(source, PreprocessingSection(crop="nonzero"), UNIT).restoration
        assert back.source is source.geometry
        assert back.oriented.axis_codes == "RAS"
        assert back.cropped.is_close(back.oriented.cropped(back.box))
        assert back.network.is_close(back.cropped)
        canvas = np.zeros(back.oriented.shape, np.int16)
        canvas[back.box] = 5
        np.testing.assert_array_equal(back.axes.inverse.apply(canvas), array[0])

    def test_crop_keeps_what_any_channel_holds(self):
        array = np.zeros((2, 7, 8, 9), np.int16)
        array[0, 2, 3, 4] = array[1, 5, 3, 4] = -1
        channels = (ChannelSection(name="a"), ChannelSection(name="b"))
        prepared = prepare_image(Volume(array, geometry(), ("a", "b")), PreprocessingSection(crop="nonzero"), channels)
        assert prepared.restoration.box == (slice(2, 6), slice(3, 4), slice(4, 5))
        assert prepared.image.shape == (2, 4, 1, 1)

    def test_nan_around_the_brain_is_as_good_as_zero(self):
        array = np.zeros((1, 12, 12, 12), np.float32)
        array[0, 3:9, 3:9, 3:9] = np.random.default_rng(0).normal(500, 100, (6, 6, 6))
        masked = np.where(array == 0, np.nan, array)
        one = (ChannelSection(name="image", nonzero_only=True),)
        for settings in (PreprocessingSection(crop="nonzero"), PreprocessingSection()):
            plain, other = (prepare_image(Volume(values, geometry(values.shape[1:])), settings, one)
                            for values in (array, masked))  # fmt: skip
            assert other.restoration.box == plain.restoration.box
            np.testing.assert_array_equal(other.image, plain.image)

    def test_crop_of_an_empty_image_keeps_everything(self):
        empty = Volume(np.zeros((1, 7, 8, 9), np.uint8), geometry())
        assert prepare_image(empty, PreprocessingSection(crop="nonzero"), IMAGE).image.shape == (1, 7, 8, 9)

    def test_target_spacing(self):
        prepared = prepare_image(
            volume(geometry(spacing=(1.0, 1.5, 2.5))), PreprocessingSection(spacing=(2, 1, 1)), IMAGE
        )
        assert prepared.image.shape == (1, 4, 12, 22)
        assert prepared.restoration.network.is_close(geometry(spacing=(1.0, 1.5, 2.5)).with_shape((4, 12, 22)))

    def test_slices_of_a_2d_plan_are_left_alone(self):
        settings = PreprocessingSection(spacing=(2, 1, 1), resample_slices=False)
        assert prepare_image(volume(geometry(spacing=(1.0, 1.5, 2.5))), settings, IMAGE).image.shape == (1, 4, 12, 9)

    def test_pixels_have_no_millimetres(self):
        picture = volume(Geometry.from_spacing((12, 10, 1), unit=LengthUnit.PIXEL))
        settings = PreprocessingSection(spacing=(0.5, 0.5, 0.5))
        assert prepare_image(picture, settings, IMAGE).image.shape == (1, 12, 10, 1)

    def test_thick_slices_are_repeated_not_blended(self):
        grid = geometry((8, 8, 3), (1.0, 1.0, 4.0))
        prepared = prepare_image(volume(grid), PreprocessingSection(spacing=(1, 1, 1)), UNIT)
        np.testing.assert_allclose(
            prepared.image, np.repeat(volume(grid).array / np.float32(255), 4, axis=3), atol=1e-5
        )
        assert prepared.restoration.nearest_axis == 2

    def test_a_spacing_that_makes_too_many_voxels_is_refused(self):
        huge = volume(geometry(spacing=(1000.0, 1000.0, 1000.0)))
        with pytest.raises(
            GeometryError, match=r"case c1: resampling \(7, 8, 9\) voxels of 1e\+03 .* more than 2.1e\+09"
        ):
            prepare_case(case(huge), PreprocessingSection(spacing=(0.1, 0.1, 0.1)), IMAGE, scheme())


class TestChannels:
    def test_found_by_name_in_any_order(self):
        source = volume(channels=("FLAIR", "T1", "T2"))
        wanted = (ChannelSection(name="T1", intensity=Intensity.UNIT), ChannelSection(name="FLAIR"))
        image = prepare_image(source, RAS, wanted).image
        np.testing.assert_allclose(image[0], source.array[1] / np.float32(255), rtol=1e-6)
        assert image[1].mean() == pytest.approx(0, abs=1e-5)

    def test_taken_in_order_when_no_name_is_known(self):
        source = volume(channels=("MR",))
        np.testing.assert_allclose(prepare_image(source, RAS, UNIT).image, source.array / np.float32(255), rtol=1e-6)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (("MR",), r"the model wants 2 channels \('T1', 'T2'\), the image has 1 channel \('MR'\)"),
            (("T2", "FLAIR"), r"wants 2 channels \('T1', 'T2'\), the image has 2 channels \('T2', 'FLAIR'\)"),
        ],
    )
    def test_others_are_refused(self, given, message):
        with pytest.raises(InputError, match=message):
            prepare_image(volume(channels=given), RAS, (ChannelSection(name="T1"), ChannelSection(name="T2")))


class TestMissingChannels:
    WANTED = (
        ChannelSection(name="T1"),
        ChannelSection(name="T2", optional=True),
        ChannelSection(name="FLAIR", optional=True),
    )

    def test_one_that_is_optional_is_zero(self):
        source = volume(channels=("FLAIR", "T1"))
        image = prepare_image(source, RAS, self.WANTED).image
        assert image.shape == (3, 7, 8, 9)
        assert not image[1].any()
        np.testing.assert_allclose(image[[0, 2]], prepare_image(source, RAS, self.WANTED[::2]).image)

    def test_cropping_does_not_ask_it(self):
        array = np.zeros((1, 7, 8, 9), np.int16)
        array[0, 2:5, 2:5, 2:5] = np.arange(27).reshape(3, 3, 3) + 1
        source = Volume(array, geometry(), ("T1",))
        assert prepare_image(source, PreprocessingSection(crop="nonzero"), self.WANTED).image.shape == (3, 3, 3, 3)

    @pytest.mark.parametrize("given", [("T2", "FLAIR"), ("T2",), ("MR",)])
    def test_one_that_is_not_is_refused(self, given):
        message = (
            r"the model wants 3 channels \('T1', 'T2', 'FLAIR'\) \(of which it can spare FLAIR, T2\), the image has"
        )
        with pytest.raises(InputError, match=message):
            prepare_image(volume(channels=given), RAS, self.WANTED)


class TestTargets:
    def test_class_indices_with_ignored_voxels(self):
        grid = geometry(codes="LPS")
        labels = label_map(grid, (0, 5, 9, 200))
        structures = LabelScheme.from_names({"a": 9, "b": 5}, ignore=200)
        target = prepare_case(case(volume(grid), labels), RAS, IMAGE, structures).target
        flipped = labels.array[::-1, ::-1]
        np.testing.assert_array_equal(
            target, np.select([flipped == 9, flipped == 5, flipped == 200], [1, 2, IGNORE_INDEX])
        )

    def test_target_and_image_share_a_grid(self):
        grid = geometry((32, 32, 32), (1.0, 1.0, 1.0), "PIR")
        labels = LabelMap(ball().astype(np.uint8), grid)
        image = Volume(ball()[None].astype(np.float32) * 255, grid)
        settings = PreprocessingSection(spacing=(0.8, 1.3, 1.0))
        prepared = prepare_case(case(image, labels), settings, UNIT, scheme("one"))
        inside = prepared.target == 1
        assert prepared.target.shape == prepared.image.shape[1:] == prepared.restoration.network.shape
        assert inside.sum() == pytest.approx(ball().sum() * inside.size / 32**3, rel=0.02)
        assert ((prepared.image[0] > 0.5) == inside).mean() > 0.995

    def test_regions_become_masks(self):
        structures = LabelScheme(
            LabelScheme.from_names({"core": 1, "rim": 2}).structures,
            regions=(Region("whole", ("core", "rim")), Region("core", ("core",))),
            ignore=7,
        )
        labels = label_map(values=(0, 1, 2, 7))
        target = prepare_case(case(volume(), labels), RAS, IMAGE, structures).target
        expected = np.stack([np.isin(labels.array, [1, 2]), labels.array == 1]).astype(np.uint8)
        expected[:, labels.array == 7] = IGNORE_INDEX
        np.testing.assert_array_equal(target, expected)

    def test_overlapping_structures(self):
        grid = geometry((32, 32, 32), (1.0, 1.0, 1.0), "LAS")
        masks = np.stack([ball(radius=9), ball(radius=5)])
        structures = LabelScheme(scheme("outer", "inner").structures, overlapping=True)
        labels = MultiLabelMap(masks, grid, ("inner", "outer"))
        settings = PreprocessingSection(spacing=(1, 1, 1.6), crop="nonzero")
        image = np.zeros((1, 32, 32, 32), np.float32)
        image[:, 2:, :, :] = 1
        target = prepare_case(case(Volume(image, grid), labels), settings, IMAGE, structures).target
        assert target.shape == (2, 30, 32, 20)
        assert target.dtype == np.uint8
        volumes = target.sum((1, 2, 3)) * 1.6
        np.testing.assert_allclose(volumes, [masks[1].sum(), masks[0].sum()], rtol=0.08)

    def test_one_mask_a_structure_becomes_class_indices(self):
        first, second = ball(radius=4), ball(centre=(5, 5, 5), radius=3)
        labels = MultiLabelMap(np.stack([first, second]), geometry((32, 32, 32)), ("two", "one"))
        target = prepare_case(case(volume(geometry((32, 32, 32))), labels), RAS, IMAGE, scheme()).target
        np.testing.assert_array_equal(target, np.select([second, first], [1, 2]))

    def test_masks_that_overlap_where_they_must_not(self):
        labels = MultiLabelMap(np.stack([ball(radius=4)] * 2), geometry((32, 32, 32)), ("one", "two"))
        with pytest.raises(LabelError, match="case c1: structures overlap in 280 voxels"):
            prepare_case(case(volume(geometry((32, 32, 32))), labels), RAS, IMAGE, scheme())

    def test_unknown_values_name_the_case(self):
        with pytest.raises(LabelError, match=r"case c1: label values \[3\] are not in the scheme"):
            prepare_case(case(volume(), label_map(values=(0, 1, 3))), RAS, IMAGE, scheme())

    def test_no_label_no_target(self):
        assert prepare_case(case(volume()), RAS, IMAGE, scheme()).target is None

    def test_labels_are_resampled_class_by_class(self):
        grid = geometry((8, 9, 10), (1.0, 1.0, 1.0))
        labels = label_map(grid)
        target = prepare_case(
            case(volume(grid), labels), PreprocessingSection(spacing=(2, 1, 1)), IMAGE, scheme()
        ).target
        np.testing.assert_array_equal(target, resample_class_indices(labels.array, (4, 9, 10)))


class TestRegions:
    BOX = (slice(3, 20), slice(8, 25), slice(2, 9))

    @pytest.mark.parametrize("codes", ALL_ORIENTATIONS[::7])
    @pytest.mark.parametrize("intensity", [Intensity.ZSCORE, Intensity.UNIT])
    def test_a_region_is_a_part_of_the_normalised_image(self, codes, intensity):
        source, channels = (
            volume(geometry((24, 28, 10), codes=codes)),
            (ChannelSection(name="image", intensity=intensity),),
        )
        whole, part = prepare_image(source, RAS, channels), prepare_image(source, RAS, channels, self.BOX)
        mask = np.zeros(source.geometry.shape, bool)
        mask[self.BOX] = True
        inside = whole.restoration.axes.apply(mask)
        np.testing.assert_array_equal(part.image.ravel(), whole.image[0][inside])
        assert part.restoration.source is source.geometry
        there = np.zeros_like(inside)
        there[part.restoration.box] = True
        np.testing.assert_array_equal(there, inside)

    def test_a_region_is_resampled_on_a_grid_of_its_own(self):
        source = smooth(geometry((24, 28, 10)))
        part = prepare_image(source, PreprocessingSection(spacing=(2.0, 2.0, 2.0)), UNIT, self.BOX)
        alone = prepare_image(source.cropped(self.BOX), PreprocessingSection(spacing=(2.0, 2.0, 2.0)), UNIT)
        np.testing.assert_array_equal(part.image, alone.image)
        assert part.restoration.network.is_close(alone.restoration.network)

    def test_what_is_zero_is_cut_away_all_the_same(self):
        array = np.zeros((1, 24, 28, 10), np.int16)
        array[0, 5:9, 2:15, 4:10] = 5
        source, nonzero = Volume(array, geometry((24, 28, 10))), PreprocessingSection(crop="nonzero")
        kept = prepare_image(source, nonzero, IMAGE, self.BOX).restoration.box
        assert kept == (slice(5, 9), slice(8, 15), slice(4, 9))
        apart = prepare_image(source, nonzero, IMAGE, (slice(20, 24), slice(0, 3), slice(0, 3))).restoration.box
        assert apart == (slice(5, 9), slice(2, 15), slice(4, 10)), "they do not meet"
