"""What each family promises, counted over its seeds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from slotkeeper.errors import ConfigError
from slotkeeper.scenes.families import CLEVR, CROWD, FAMILIES, PLAIN, find_family
from slotkeeper.scenes.sampling import hidden_frames, sample_scene
from slotkeeper.scenes.stage import Scene, set_stage
from slotkeeper.scenes.tracer import Visibility, see

NUM_FRAMES, SIZE = 16, 96


def look(scene: Scene, num_frames: int, size: int) -> Visibility:
    """What all pixels of a scene's first frames see."""
    return see(set_stage([scene]), np.arange(num_frames), size)


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def watched(request):
    """A family with (scene, segments t h w, outlines t k h w) of its first seven seeds."""
    family = FAMILIES[request.param]
    videos = []
    for seed in range(7):
        scene = sample_scene(family, seed=seed, num_frames=NUM_FRAMES)
        seen = look(scene, NUM_FRAMES, SIZE)
        grid = (NUM_FRAMES, *scene.camera.picture(SIZE))
        segments = seen.owner.reshape(grid)
        amodal = seen.amodal.reshape(-1, *grid).transpose(1, 0, 2, 3)
        videos.append((scene, segments, amodal))
    return family, videos


def test_most_videos_hide_an_object_fully_and_show_it_again(watched):
    family, videos = watched
    if not family.occlusion_share:
        pytest.skip("this family doesn't seek it")
    longest = [hidden_frames(segments, amodal).max() for _, segments, amodal in videos]
    assert np.mean(np.array(longest) >= family.min_hidden_frames) >= 0.5


def test_every_object_is_seen_at_some_time(watched):
    _, videos = watched
    for scene, segments, _ in videos:
        for label in range(1, len(scene.objects) + 1):
            assert (segments == label).sum(axis=(1, 2)).max() >= 20


def test_objects_keep_moving(watched):
    _, videos = watched
    for scene, _, _ in videos:
        steps = np.linalg.norm(np.diff(scene.motion.centres, axis=0), axis=-1)
        assert np.mean(steps > 0.02) > 0.8


def test_counts_sizes_and_colours_are_the_familys(watched):
    family, videos = watched
    counts = [len(scene.objects) for scene, _, _ in videos]
    assert min(counts) >= family.num_objects[0]
    assert max(counts) <= family.num_objects[1]
    assert len(set(counts)) > 1
    for scene, _, _ in videos:
        colours = [thing.colour for thing in scene.objects]
        assert set(colours) <= set(family.colours)
        assert not family.has_distinct_colours or len(set(colours)) == len(colours)


def test_the_camera_moves_only_where_the_family_says(watched):
    family, videos = watched
    moves = [not np.allclose(scene.camera.eyes[0], scene.camera.eyes[-1]) for scene, _, _ in videos]
    assert any(moves) == (family.moving_camera_share > 0)
    assert not all(moves)


def test_some_objects_come_in_and_some_go_out():
    entering = leaving = 0
    for seed in range(7):
        seen = look(sample_scene(CLEVR, seed=seed, num_frames=NUM_FRAMES), NUM_FRAMES, 32)
        outline = seen.amodal.reshape(-1, NUM_FRAMES, 32 * 32).any(axis=2)
        entering += int((~outline[:, 0] & outline.any(axis=1)).sum())
        leaving += int((~outline[:, -1] & outline.any(axis=1)).sum())
    assert entering > 0
    assert leaving > 0


def test_large_objects_fill_a_fair_share_of_plain_pictures():
    shares = []
    for seed in range(6):
        seen = look(sample_scene(PLAIN, seed=seed, num_frames=2), 2, SIZE)
        shares += [outline.mean() for outline in seen.amodal if outline.any()]
    assert 0.03 < np.mean(shares) < 0.08


def test_hidden_frames_counts_only_objects_that_come_back():
    segments = np.zeros((5, 8, 8), np.uint8)
    amodal = np.zeros((5, 2, 8, 8), bool)
    amodal[:, :, :5, :5] = True
    segments[[0, 3, 4], :5, :5] = 1  # object 1 is away in frames 1 and 2
    segments[1, :5, :5] = 2  # object 2 is seen once and never again
    assert hidden_frames(segments, amodal).tolist() == [2, 0]
    outside = amodal.copy()
    outside[1:3] = False  # away because it left the picture, not because it was hidden
    assert hidden_frames(segments, outside).tolist() == [0, 0]


def test_an_unknown_family_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'clevr'"):
        find_family("clvr")


def test_a_family_that_cannot_be_drawn_is_refused():
    with pytest.raises(ConfigError, match="num_objects"):
        dataclasses.replace(PLAIN, num_objects=(3, 300))
    with pytest.raises(ConfigError, match="distinct colours"):
        dataclasses.replace(CROWD, has_distinct_colours=True)
    with pytest.raises(ConfigError, match="did you mean 'purple'"):
        dataclasses.replace(CLEVR, colours=("purpel",))
    crammed = dataclasses.replace(PLAIN, num_objects=(4, 4), radii=((2.4, 2.5),))
    with pytest.raises(ConfigError, match="no room"):
        sample_scene(crammed, seed=0, num_frames=2)
