"""What happens to a slice before the networks, as ONNX text. The graph takes the slice at its own size and finds the lungs itself.

1. `small`: the slice at 256 x 256. Otsu's threshold on 31 levels, from every second pixel and row, parts air from tissue; what lies more
   than a third of the way from the mean of the tissue down to that of the air is no tissue, so that ground glass counts as lung.
2. Lung: darker than the threshold, with tissue at least three pixels thick on all four sides; so air around the body is none. The box around it,
   after an opening that removes thin gaps, grows by 3 % of 256 pixels on each side.
3. The box is cut out at full resolution, brought to 224 x 224, and its grey levels are expressed between two of its own marks: 0 is the darkest
   tenth of the lung, 1 is the median of the tissue. So window, slope and offset of the pixel values fall out. Above 0.95 everything is tissue:
   contrast medium and bone can't be told from it.
"""

from field_text import BOX, COUNTED, EXTREMES, PLANE, at_full_size, cut_of, small

PREPROCESS = (
    """
(float[1, 1, rows, columns] grey) => (float[1, 1, 224, 224] lungs, float[4] box, float[1] lung_share) {
  size = Shape(grey)
"""
    + small("grey")
    + """\
  plane_axes = Constant<value_ints = [2, 3]>()
  corner = Constant<value_ints = [0, 0]>()
  far_corner = Constant<value_ints = [256, 256]>()
  step = Constant<value_ints = [2, 2]>()
  sample = Slice(small, corner, far_corner, plane_axes, step)
  flat_shape = Constant<value_ints = [1, 16384]>()
  flat = Reshape(sample, flat_shape)
  levels = Constant<value = float[31, 1] {8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 136, 144, 152, 160, 168, 176, 184, 192, 200, 208, 216, 224, 232, 240, 248}>()
  above = Greater(flat, levels)
  above_number = Cast<to = 1>(above)
  axis_1 = Constant<value_ints = [1]>()
  share_above = ReduceMean<keepdims = 0>(above_number, axis_1)
  grey_above = Mul(above_number, flat)
  mean_above = ReduceMean<keepdims = 0>(grey_above, axis_1)
  mean = ReduceMean<keepdims = 0>(flat, axis_1)
  one = Constant<value = float {1.0}>()
  share_below = Sub(one, share_above)
  expected = Mul(mean, share_above)
  difference = Sub(mean_above, expected)
  squared = Mul(difference, difference)
  product = Mul(share_above, share_below)
  tiny = Constant<value = float {0.000001}>()
  divisor = Add(product, tiny)
  between = Div(squared, divisor)
  best = ArgMax<axis = 0, keepdims = 1>(between)
  one_int = Constant<value_ints = [1]>()
  below_sum = Sub(mean, mean_above)
  divisor_above = Add(share_above, tiny)
  divisor_below = Add(share_below, tiny)
  means_of_tissue = Div(mean_above, divisor_above)
  means_of_air = Div(below_sum, divisor_below)
  mean_of_tissue = Gather<axis = 0>(means_of_tissue, best)
  mean_of_air = Gather<axis = 0>(means_of_air, best)
  step_down = Sub(mean_of_tissue, mean_of_air)
  part = Constant<value = float {0.35}>()
  step_part = Mul(step_down, part)
  threshold_exact = Sub(mean_of_tissue, step_part)
  threshold = Reshape(threshold_exact, one_int)

  tissue = Greater(small, threshold)
  tissue_number = Cast<to = 1>(tissue)
  dark = Sub(one, tissue_number)
  dark_grown = MaxPool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(dark)
  wall = Sub(one, dark_grown)
  axis_row = Constant<value_int = 2>()
  axis_column = Constant<value_int = 3>()
  from_top = CumSum(wall, axis_row)
  from_bottom = CumSum<reverse = 1>(wall, axis_row)
  from_left = CumSum(wall, axis_column)
  from_right = CumSum<reverse = 1>(wall, axis_column)
  vertical = Min(from_top, from_bottom)
  horizontal = Min(from_left, from_right)
  enclosed = Min(vertical, horizontal)
  half = Constant<value = float {0.5}>()
  is_enclosed = Greater(enclosed, half)
  enclosed_number = Cast<to = 1>(is_enclosed)
  lung = Mul(dark, enclosed_number)
  all_axes = Constant<value_ints = [0, 1, 2, 3]>()
  lung_mean = ReduceMean<keepdims = 0>(lung, all_axes)
  lung_share = Reshape(lung_mean, one_int)

  outside = Sub(one, lung)
  outside_grown = MaxPool<kernel_shape = [5, 5], pads = [2, 2, 2, 2]>(outside)
  core = Sub(one, outside_grown)
"""
    + COUNTED
    + """\
  row_counts = ReduceSum<keepdims = 0>(core, axes_of_rows)
  column_counts = ReduceSum<keepdims = 0>(core, axes_of_columns)
  least = Constant<value = float {3.5}>()
  rows_hit = Greater(row_counts, least)
  columns_hit = Greater(column_counts, least)
"""
    + EXTREMES
    + """\
  upper_left_raw = Cast<to = 1>(upper_left_int)
  lower_right_raw = Cast<to = 1>(lower_right_int)
  margin = Constant<value = float {8.0}>()
  margin_after = Constant<value = float {9.0}>()
  upper_left_grown = Sub(upper_left_raw, margin)
  lower_right_grown = Add(lower_right_raw, margin_after)
  zero = Constant<value = float {0.0}>()
  full = Constant<value = float {256.0}>()
  upper_left = Max(upper_left_grown, zero)
  lower_right = Min(lower_right_grown, full)
  extent = Sub(lower_right, upper_left)
  least_extent = Constant<value = float {64.0}>()
  wide = Greater(extent, least_extent)
  wide_number = Cast<to = 1>(wide)
  axis_0 = Constant<value_ints = [0]>()
  both_wide = ReduceMin<keepdims = 1>(wide_number, axis_0)
  has_lungs = Greater(both_wide, half)
  start_small = Where(has_lungs, upper_left, zero)
  end_small = Where(has_lungs, lower_right, full)
"""
    + PLANE
    + at_full_size("start_small", "end_small")
    + cut_of("grey")
    + """\
  lungs_size = Constant<value_ints = [1, 1, 224, 224]>()
  lungs_grey = Resize<mode = "linear", antialias = 1, coordinate_transformation_mode = "half_pixel">(cut, , , lungs_size)
"""
    + BOX
    + """
  count = Constant<value_ints = [16384]>()
  line = Reshape(sample, count)
  tissue_sample = Slice(tissue_number, corner, far_corner, plane_axes, step)
  lung_sample = Slice(lung, corner, far_corner, plane_axes, step)
  sorted_down, place_down = TopK<axis = 0, largest = 1>(line, count)
  tissue_sum = ReduceSum<keepdims = 1>(tissue_sample, all_axes)
  tissue_half = Mul(tissue_sum, half)
  tissue_line = Reshape(tissue_half, one_int)
  tissue_place = Cast<to = 7>(tissue_line)
  tissue_grey = Gather<axis = 0>(sorted_down, tissue_place)
  far = Constant<value = float {1000000.0}>()
  lung_line = Reshape(lung_sample, count)
  in_lung = Greater(lung_line, half)
  lung_values = Where(in_lung, line, far)
  sorted_up, place_up = TopK<axis = 0, largest = 0>(lung_values, count)
  lung_sum = ReduceSum<keepdims = 0>(lung_sample, all_axes)
  tenth = Constant<value = float {0.1}>()
  lung_tenth = Mul(lung_sum, tenth)
  lung_tenth_line = Reshape(lung_tenth, one_int)
  lung_place = Cast<to = 7>(lung_tenth_line)
  air_raw = Gather<axis = 0>(sorted_up, lung_place)
  air_ceiling = Sub(tissue_grey, one)
  air_found = Less(air_raw, air_ceiling)
  air_grey = Where(air_found, air_raw, zero)
  span_raw = Sub(tissue_grey, air_grey)
  span = Max(span_raw, one)
  lifted = Sub(lungs_grey, air_grey)
  relative = Div(lifted, span)
  floor = Constant<value = float {-0.3}>()
  ceiling = Constant<value = float {0.95}>()
  not_below = Max(relative, floor)
  lungs = Min(not_below, ceiling)
}
"""
)
