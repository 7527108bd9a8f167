"""What happens to a mammogram before the networks, as ONNX text. The graph takes the mammogram at its own size, bright tissue on dark air (MONOCHROME2).

1. Breast: where the picture, at 256 x 256, is above 0.12 of its 99th percentile, after an opening that removes letters and scratches. The box around it is cut out.
2. The cut is brought to fit 640 x 448, as wide as high as before, from the upper left corner; what is left over is 0.
3. Grey levels: 0 is the 5th, 1 the 99.5th percentile of the breast; bounded to 0..1.2.
"""

from field_text import COUNTED, EXTREMES, percentile_99, small, whole_cut

HEIGHT, WIDTH = 640, 448

PREPROCESS = (
    """
(float[1, 1, rows, columns] grey) => (float[1, 1, 640, 448] breast, float[4] region) {
"""
    + small("grey")
    + percentile_99("percentile_99")
    + """\
  share = Constant<value = float {0.12}>()
  threshold = Mul(percentile_99, share)
  bright = Greater(small, threshold)
  bright_number = Cast<to = 1>(bright)
  one = Constant<value = float {1.0}>()
  dark = Sub(one, bright_number)
  dark_grown = MaxPool<kernel_shape = [9, 9], pads = [4, 4, 4, 4]>(dark)
  core = Sub(one, dark_grown)
  core_grown = MaxPool<kernel_shape = [9, 9], pads = [4, 4, 4, 4]>(core)
"""
    + COUNTED
    + """\
  row_counts = ReduceSum<keepdims = 0>(core_grown, axes_of_rows)
  column_counts = ReduceSum<keepdims = 0>(core_grown, axes_of_columns)
  half = Constant<value = float {0.5}>()
  rows_hit = Greater(row_counts, half)
  columns_hit = Greater(column_counts, half)
"""
    + EXTREMES
    + """\
  upper_left = Cast<to = 1>(upper_left_int)
  lower_right_before = Cast<to = 1>(lower_right_int)
  lower_right = Add(lower_right_before, one)
"""
    + whole_cut("grey")
    + """\
  extent = Sub(end, start)
  canvas = Constant<value_floats = [640.0, 448.0]>()
  ratios = Div(canvas, extent)
  axis_0 = Constant<value_ints = [0]>()
  ratio = ReduceMin<keepdims = 1>(ratios, axis_0)
  fitted_exact = Mul(extent, ratio)
  fitted_rounded = Round(fitted_exact)
  fitted_bounded = Min(fitted_rounded, canvas)
  fitted = Max(fitted_bounded, one)
  fitted_int = Cast<to = 7>(fitted)
  ones = Constant<value_ints = [1, 1]>()
  fitted_size = Concat<axis = 0>(ones, fitted_int)
  picture = Resize<mode = "linear", antialias = 1, coordinate_transformation_mode = "half_pixel">(cut, , , fitted_size)
  left_over = Sub(canvas, fitted)
  left_over_int = Cast<to = 7>(left_over)
  before = Constant<value_ints = [0, 0, 0, 0]>()
  no_more = Constant<value_ints = [0, 0]>()
  pads = Concat<axis = 0>(before, no_more, left_over_int)

  core_line = Reshape(core_grown, line_shape)
  in_breast = Greater(core_line, half)
  minus = Constant<value = float {-1.0}>()
  breast_values = Where(in_breast, line, minus)
  sorted, place = TopK<axis = 0, largest = 1>(breast_values, line_shape)
  all_axes = Constant<value_ints = [0, 1, 2, 3]>()
  count = ReduceSum<keepdims = 0>(core_grown, all_axes)
  share_low = Constant<value = float {0.95}>()
  share_high = Constant<value = float {0.005}>()
  count_low = Mul(count, share_low)
  count_high = Mul(count, share_high)
  one_int = Constant<value_ints = [1]>()
  line_low = Reshape(count_low, one_int)
  line_high = Reshape(count_high, one_int)
  place_low = Cast<to = 7>(line_low)
  place_high = Cast<to = 7>(line_high)
  low = Gather<axis = 0>(sorted, place_low)
  high = Gather<axis = 0>(sorted, place_high)
  span_raw = Sub(high, low)
  span = Max(span_raw, one)
  lifted = Sub(picture, low)
  relative = Div(lifted, span)
  zero = Constant<value = float {0.0}>()
  ceiling = Constant<value = float {1.2}>()
  not_below = Max(relative, zero)
  bounded = Min(not_below, ceiling)
  breast = Pad(bounded, pads)

  region_extent = Div(canvas, ratio)
  reverse_order = Constant<value_ints = [1, 0]>()
  region_corner = Gather<axis = 0>(start, reverse_order)
  region_size = Gather<axis = 0>(region_extent, reverse_order)
  region = Concat<axis = 0>(region_corner, region_size)
}
"""
)
