"""The keys of nerf-pytorch's, iNeRF's, the paper's and earlier config files, which are accepted as they are."""

from __future__ import annotations

from pathlib import PurePath

from utils.config import read_flag

# Keys of the old programs that this one has no use for; a file that sets them gets one line of warning.
NO_LONGER_NEEDED = frozenset(
    """
    ckpt_name crop_size data_type dataset_type delta_phi delta_psi delta_t delta_theta expname factor grayscale
    i_embed i_img i_print i_testset i_video i_weights img_resize lindisp llffhold netchunk no_ndc no_reload
    obs_img_num render_factor render_only render_test shape spherify testskip
    """.split()
)

OLD_KEYS = NO_LONGER_NEEDED | {"half_res", "white_bkgd", "datadir", "random_weights"}


def translate(settings: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Replace old keys of a file by today's.

    Args:
        settings: keys and values as written.
    Returns:
        The settings with old keys replaced (a key that is there under its new name wins), and the keys left out
        because nothing needs them.
    """
    unused = [key for key in settings if key in NO_LONGER_NEEDED]
    new = {key: value for key, value in settings.items() if key not in NO_LONGER_NEEDED}
    if "half_res" in new:  # the paper's images are 800 pixels wide
        half = read_flag(new.pop("half_res"), "half_res")
        new.setdefault("image_size", "400" if half else "800")
    if "white_bkgd" in new:
        white = read_flag(new.pop("white_bkgd"), "white_bkgd")
        new.setdefault("background", "white" if white else "black")
    if "random_weights" in new:  # of earlier versions
        random = read_flag(new.pop("random_weights"), "random_weights")
        new.setdefault("backbone", "random" if random else "paper")
    if "datadir" in new:  # nerf-pytorch names the object's own folder
        folder = PurePath(new.pop("datadir"))
        new.setdefault("data_dir", str(folder.parent))
        if not {"object_name", "class_name", "obj", "model_name"} & set(new):
            new["object_name"] = folder.name
    return new, unused
