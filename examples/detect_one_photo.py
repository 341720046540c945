"""Detect defects in one photo of a trained object.

python examples/detect_one_photo.py ckpts/pump photo.jpg
"""

import sys

import omniposead as pad


def main(folder: str, photo: str) -> None:
    model = pad.Model.load(folder)
    found = model.detect(photo)
    row, column = divmod(int(found.anomaly_map.argmax()), found.anomaly_map.shape[1])
    print(f"{found.verdict}: score {found.anomaly_score:.3g}, threshold {found.threshold:.3g}, p {found.p_value:.2g}")
    print(f"most anomalous at row {row}, column {column}; pose {'found' if found.pose_found else 'not found'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
