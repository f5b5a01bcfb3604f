"""How the released models are sampled: one row per model (svd_model 2.5, 7.1)."""

from typing import NamedTuple


class Preset(NamedTuple):
  """Sampling settings of a released model.

  Attributes:
    frames, height, width: of the video.
    steps: of the Euler sampler.
    guidance, guidance_min, guidance_max: schedule over the frames and its range.
    decode_chunk: frames decoded at once.
    fps: of the file; the model is told fps - 1.
    motion: motion bucket.
    cond_aug: noise on the conditioning image.
    scalars: the vector conditioning in order, of conditioning.embed_scalars.
  """
  frames: int
  height: int
  width: int
  steps: int
  guidance: str
  guidance_min: float
  guidance_max: float
  decode_chunk: int
  fps: float
  motion: float
  cond_aug: float
  scalars: tuple[str, ...]

  @property
  def settings(self):
    """The part that are fields of generate.Settings."""
    names = ('frames', 'height', 'width', 'steps', 'guidance', 'guidance_min', 'guidance_max',
             'decode_chunk')
    return {name: getattr(self, name) for name in names}


VIDEO = ('fps', 'motion', 'cond_aug')
POSED = (*VIDEO, 'elevation')  # of multi-view models trained here; no released one is told these
SVD = Preset(14, 576, 1024, 25, 'linear', 1., 2.5, 14, 7., 127., 0.02, VIDEO)
SVD_XT = Preset(25, 576, 1024, 30, 'linear', 1.5, 3., 14, 7., 127., 0.02, VIDEO)
SV3D = Preset(21, 576, 576, 50, 'triangle', 1., 2.5, 14, 7., 127., 1e-5, ('cond_aug',))
PRESETS = {
    'svd': SVD,
    'svd_xt': SVD_XT,
    'svd_xt_1_1': SVD_XT,  # tuned at exactly these fps and motion
    'sv3d_u': SV3D,
    'sv3d_p': SV3D._replace(scalars=('cond_aug', 'polar', 'azimuth')),
}


def of_model(frames, vector_dim, scalar_dim=256):
  """The name of the preset of a released model, told by its vector width (and frames, if known).

  Args:
    frames: that the model was trained with, or None.
    vector_dim: of the UNet.
    scalar_dim: Fourier features of one scalar.
  """
  if vector_dim == scalar_dim:
    return 'sv3d_u'
  if vector_dim == 5 * scalar_dim:
    return 'sv3d_p'
  return 'svd' if frames is not None and frames <= SVD.frames else 'svd_xt'
