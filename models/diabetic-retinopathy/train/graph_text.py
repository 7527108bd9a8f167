"""What happens to a fundus photograph before the networks, as ONNX text. The graph takes the photograph at its own size.

1. The field of view: where the mean of the three colours, at 256 x 256, is above a tenth of its 99th percentile. The box around it (rows and columns
   that hold at least 5 % field) is cut out and brought to 512 x 512.
2. The background, which is the picture at 24 x 24 brought back to full size, is taken away, and what remains is doubled four times and bounded:
   (picture - background) / 64, in -1..1. So lamp, skin colour and camera fall out; what stays is what differs from its surroundings.
3. Outside the field, and on its rim, all is 0.
"""

from field_text import BOX, COUNTED, EXTREMES, percentile_99, small, whole_cut

SIZE = 512

PREPROCESS = (
    """
(float[1, 3, rows, columns] rgb) => (float[1, 3, 512, 512] retina, float[4] box, float[1] field_share) {
  axis_colour = Constant<value_ints = [1]>()
  luminance = ReduceMean<keepdims = 1>(rgb, axis_colour)
"""
    + small("luminance")
    + percentile_99("high")
    + """\
  tenth = Constant<value = float {0.1}>()
  threshold = Mul(high, tenth)
  field = Greater(small, threshold)
  field_number = Cast<to = 1>(field)
  all_axes = Constant<value_ints = [0, 1, 2, 3]>()
  field_mean = ReduceMean<keepdims = 0>(field_number, all_axes)
  one_int = Constant<value_ints = [1]>()
  field_share = Reshape(field_mean, one_int)
"""
    + COUNTED
    + """\
  row_share = ReduceMean<keepdims = 0>(field_number, axes_of_rows)
  column_share = ReduceMean<keepdims = 0>(field_number, axes_of_columns)
  least = Constant<value = float {0.05}>()
  rows_hit = Greater(row_share, least)
  columns_hit = Greater(column_share, least)
"""
    + EXTREMES
    + """\
  upper_left = Cast<to = 1>(upper_left_int)
  lower_right_before = Cast<to = 1>(lower_right_int)
  one = Constant<value = float {1.0}>()
  lower_right = Add(lower_right_before, one)
"""
    + whole_cut("rgb")
    + """\
  retina_size = Constant<value_ints = [1, 3, 512, 512]>()
  picture = Resize<mode = "linear", antialias = 1, coordinate_transformation_mode = "half_pixel">(cut, , , retina_size)
  coarse_size = Constant<value_ints = [1, 3, 24, 24]>()
  coarse = Resize<mode = "linear", antialias = 1, coordinate_transformation_mode = "half_pixel">(picture, , , coarse_size)
  background = Resize<mode = "linear", coordinate_transformation_mode = "half_pixel">(coarse, , , retina_size)
  difference = Sub(picture, background)
  contrast = Constant<value = float {64.0}>()
  stretched = Div(difference, contrast)
  minus_one = Constant<value = float {-1.0}>()
  not_below = Max(stretched, minus_one)
  bounded = Min(not_below, one)
  light = ReduceMean<keepdims = 1>(picture, axis_colour)
  dark = LessOrEqual(light, threshold)
  dark_number = Cast<to = 1>(dark)
  rim = MaxPool<kernel_shape = [13, 13], pads = [6, 6, 6, 6]>(dark_number)
  inside = Sub(one, rim)
  retina = Mul(bounded, inside)
"""
    + BOX
    + """\
}
"""
)
