"""One case of the pulmonary-nodule model in plain Python: what the scoring bench is measured beside.

scoring.py MODEL_FOLDER STUDY_FOLDER reads the axial CT series with pydicom, brings it to the model's grid with scipy, runs the graph with
onnxruntime on two threads, and prints one line of JSON: milliseconds from the start of the process, its stages, peak memory in MiB.
"""

import json
import os
import resource
import sys
import time

started = time.clock_gettime(time.CLOCK_BOOTTIME)
with open(f"/proc/{os.getpid()}/stat") as own:
    begun = int(own.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")

import numpy as np
import onnxruntime
import pydicom
from scipy import ndimage


def read_volume(folder):
    paths = [os.path.join(base, name) for base, _, names in os.walk(folder) for name in names]
    images = [image for image in map(pydicom.dcmread, paths) if image.Modality == "CT" and "LOCALIZER" not in image.ImageType]
    images.sort(key=lambda image: image.ImagePositionPatient[2])
    planes = [image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept) for image in images]
    step = images[1].ImagePositionPatient[2] - images[0].ImagePositionPatient[2]
    return np.stack(planes).astype(np.float32), (float(step), *map(float, images[0].PixelSpacing))


def lungs_of(grid, voxel, closing):
    """Air that does not touch the sides, closed by a ball, cut to its box."""
    labels, _ = ndimage.label(grid < -500)
    sides = np.unique(np.concatenate([labels[:, side].ravel() for side in (0, -1)] + [labels[:, :, side].ravel() for side in (0, -1)]))
    sizes = np.bincount(labels.ravel()) * voxel**3 / 1000
    kept = sizes >= 100
    kept[sides] = False
    lungs = kept[labels]
    box = tuple(slice(max(part.start - 2, 0), part.stop + 2) for part in ndimage.find_objects(lungs.astype(np.uint8))[0])
    lungs = np.pad(lungs[box], int(closing / voxel) + 1)
    grown = ndimage.distance_transform_edt(~lungs) * voxel <= closing
    closed = ndimage.distance_transform_edt(grown) * voxel > closing
    inner = int(closing / voxel) + 1
    return closed[inner:-inner, inner:-inner, inner:-inner], box


def even(array):
    return array[tuple(slice(0, size - size % 2) for size in array.shape)]


def main(model, study):
    with open(os.path.join(model, "manifest.json"), encoding="utf-8") as manifest:
        parameters = json.load(manifest)["parameters"]
    at = [time.clock_gettime(time.CLOCK_BOOTTIME)]
    volume, spacing = read_volume(study)
    voxel = parameters["voxelMm"]
    grid = ndimage.zoom(volume, [size / voxel for size in spacing], order=1)
    closed, box = lungs_of(grid, voxel, parameters["closingMm"])
    at.append(time.clock_gettime(time.CLOCK_BOOTTIME))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(os.path.join(model, "model.onnx"), options)
    feeds = {"hounsfield": even(grid[box])[None, None].astype(np.float32), "lung": even(closed)[None, None].astype(np.float32)}
    score, _, _ = session.run(["score", "place", "scale"], feeds)
    at.append(time.clock_gettime(time.CLOCK_BOOTTIME))
    print(
        json.dumps(
            {
                "ms": round((at[-1] - begun) * 1000),
                "stagesMs": {
                    "starting": round((at[0] - begun) * 1000),
                    "reading": round((at[1] - at[0]) * 1000),
                    "computing": round((at[2] - at[1]) * 1000),
                },
                "peakMb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                "candidates": int((score > 0.5).sum()),
            }
        )
    )


main(*sys.argv[1:])
