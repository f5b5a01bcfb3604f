"""What all evaluation protocols share: how clips are found, cut, resized and measured."""

import ml_collections

FIGURES = ('FVD', 'Inception score (I3D)', 'motion magnitude', 'change between frames',
           'flicker (warp error)', 'frame consistency (CLIP)', 'CLIPSIM', 'PSNR', 'SSIM', 'LPIPS',
           'CLIP-S', 'first-frame PSNR', 'first-frame SSIM', 'first-frame LPIPS')


def get_base():
  """Every field there is; the defaults measure two folders of clips as they are."""
  c = ml_collections.ConfigDict()
  c.name = ''
  c.layout = 'videos, or folders of frames'  # of the real data, in words
  c.files = '**/*'  # pattern of the real clips in their folder
  c.caption = 'csv'  # 'folder': its name; 'csv': captions.csv beside the clips, if there; '': none
  c.samples = 0  # clips a side; 0: all there are
  c.frames = 16
  c.fps = 0.  # 0: every `stride`-th frame at the clip's own rate
  c.stride = 1
  c.window = 'first'  # which frames of a longer clip: 'first', 'center' or 'random'
  c.resize = ml_collections.ConfigDict()  # (height, width), bilinear with antialiasing; (): none
  c.resize.made, c.resize.real = (), ()
  c.crop = ()  # (height, width) cut from the centre, of both
  c.paired = True  # clips of the same name are compared with each other
  c.given = 0  # first frames, shown to the model, that PSNR, SSIM, LPIPS and CLIP-S leave out
  c.splits = 10  # of the Inception score
  c.figures = FIGURES
  c.seed = 0
  # How the clips of the table were made.
  c.made = ml_collections.ConfigDict()
  c.made.prompt = 'caption'  # 'caption', or 'image': the first frame
  c.made.height = c.made.width = 0
  c.made.guidance = 0.
  c.published = ml_collections.ConfigDict()  # {figure: ((system, value), …)}
  return c
