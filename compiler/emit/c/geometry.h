/* The geometry of the windows of convolutions and pools, channels last.  Three spatial axes; unused ones have extent 1. */
#pragma once

/* `in`, `out`: extents of x and y; `low`: zeros in front; `xs`, `xc`: strides of x along its axes and channels, `xb`
   from image to image; `lead`, `tap`, `group`: strides of the weights from one depth, tap and group to the next; `block`: rows of the
   result at once; `after`: floats for the padded rows of a block, behind which lies what tile units need; `room`: halves of a plane of
   what is read where it lies; `pixels`: at most so many are summed at once for the adjoint in the weight, or images at once behind a pool; `strip`: squares of
   2 x 2 windows at once (window_winograd.c), 0 if there is no room for any, `broad`: outputs at once for the adjoint in the weight; `listed`: floats of the
   weight as rows of taps where the numbers of an image may be listed, or 0.  `pool`: the kernel of the pool whose winners alone have cotangents, and
   what else there is to know of it. */
typedef struct {
    long in[3], out[3], kernel[3], stride[3], dilation[3], low[3];
    long channels, outputs, groups;
    long xb, xs[3], xc, lead, tap, group;
    long block, after, room, pixels, strip, broad, listed;
    long pool[3], pool_out[3], pool_stride[3], pool_dilation[3], pool_low[3];
} weft_windows;
