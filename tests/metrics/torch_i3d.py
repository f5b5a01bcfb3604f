"""I3D in PyTorch with the module names of `pytorch_i3d`, as the reference of the parity test."""

import torch
from torch import nn
from torch.nn import functional as F


def pad_same(x, size, stride):
  """TensorFlow's 'SAME': zeros that make the output ceil(n / stride) long, the odd one behind."""
  pads = []
  for n, k, s in reversed(list(zip(x.shape[2:], size, stride))):
    total = max(k - s, 0) if n % s == 0 else max(k - n % s, 0)
    pads += [total // 2, total - total // 2]
  return F.pad(x, pads)


class Unit(nn.Module):

  def __init__(self, i, o, size, stride=1, bare=False):
    super().__init__()
    self.size, self.stride = (size,) * 3, (stride,) * 3
    self.conv3d = nn.Conv3d(i, o, size, stride, bias=bare)
    self.bn = None if bare else nn.BatchNorm3d(o, eps=0.001)

  def forward(self, x):
    x = self.conv3d(pad_same(x, self.size, self.stride))
    return x if self.bn is None else F.relu(self.bn(x))


def pool(x, size, stride):
  return F.max_pool3d(pad_same(x, size, stride), size, stride)


class Mixed(nn.Module):

  def __init__(self, i, b0, b1a, b1b, b2a, b2b, b3b):
    super().__init__()
    self.b0, self.b1a, self.b1b = Unit(i, b0, 1), Unit(i, b1a, 1), Unit(b1a, b1b, 3)
    self.b2a, self.b2b, self.b3b = Unit(i, b2a, 1), Unit(b2a, b2b, 3), Unit(i, b3b, 1)

  def forward(self, x):
    return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)),
                      self.b3b(pool(x, (3, 3, 3), (1, 1, 1)))], dim=1)


class I3D(nn.Module):
  """[b 3 t h w] -> [b 400]; widths as in the paper's Inception-v1."""

  def __init__(self):
    super().__init__()
    self.Conv3d_1a_7x7 = Unit(3, 64, 7, 2)
    self.Conv3d_2b_1x1 = Unit(64, 64, 1)
    self.Conv3d_2c_3x3 = Unit(64, 192, 3)
    self.Mixed_3b = Mixed(192, 64, 96, 128, 16, 32, 32)
    self.Mixed_3c = Mixed(256, 128, 128, 192, 32, 96, 64)
    self.Mixed_4b = Mixed(480, 192, 96, 208, 16, 48, 64)
    self.Mixed_4c = Mixed(512, 160, 112, 224, 24, 64, 64)
    self.Mixed_4d = Mixed(512, 128, 128, 256, 24, 64, 64)
    self.Mixed_4e = Mixed(512, 112, 144, 288, 32, 64, 64)
    self.Mixed_4f = Mixed(528, 256, 160, 320, 32, 128, 128)
    self.Mixed_5b = Mixed(832, 256, 160, 320, 32, 128, 128)
    self.Mixed_5c = Mixed(832, 384, 192, 384, 48, 128, 128)
    self.logits = Unit(1024, 400, 1, bare=True)

  def forward(self, x):
    x = pool(self.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))
    x = pool(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
    x = pool(self.Mixed_3c(self.Mixed_3b(x)), (3, 3, 3), (2, 2, 2))
    for name in 'bcdef':
      x = getattr(self, f'Mixed_4{name}')(x)
    x = self.Mixed_5c(self.Mixed_5b(pool(x, (2, 2, 2), (2, 2, 2))))
    x = F.avg_pool3d(x, (2, *x.shape[3:]), 1)  # (2, 7, 7) of 224 pixels
    return self.logits(x).mean((2, 3, 4))
