"""Pieces of ONNX text by which a graph finds an organ's field in a picture and cuts it out at full size. A text is put together of them in the order of its nodes.

Each says which names it takes from the text before it; the names that it gives are those on the left of its lines.
"""

RESIZE = 'Resize<mode = "linear", antialias = 1, coordinate_transformation_mode = "half_pixel">'


def small(picture):
    """`small`: the picture at 256 x 256."""
    return f"""\
  small_size = Constant<value_ints = [1, 1, 256, 256]>()
  small = {RESIZE}({picture}, , , small_size)
"""


def percentile_99(name):
    """The 99th percentile of `small`, under this name: the last of the 656 brightest of its 65536 pixels."""
    return f"""\
  line_shape = Constant<value_ints = [65536]>()
  line = Reshape(small, line_shape)
  brightest = Constant<value_ints = [656]>()
  top, top_place = TopK<axis = 0, largest = 1>(line, brightest)
  last = Constant<value_ints = [655]>()
  {name} = Gather<axis = 0>(top, last)
"""


# Axes over which rows, and columns, are counted.
COUNTED = """\
  axes_of_rows = Constant<value_ints = [0, 1, 3]>()
  axes_of_columns = Constant<value_ints = [0, 1, 2]>()
"""

# The first and the last of the rows and columns that `rows_hit` and `columns_hit` name.
EXTREMES = """\
  rows_number = Cast<to = 1>(rows_hit)
  columns_number = Cast<to = 1>(columns_hit)
  first_row = ArgMax<axis = 0, keepdims = 1>(rows_number)
  last_row = ArgMax<axis = 0, keepdims = 1, select_last_index = 1>(rows_number)
  first_column = ArgMax<axis = 0, keepdims = 1>(columns_number)
  last_column = ArgMax<axis = 0, keepdims = 1, select_last_index = 1>(columns_number)
  upper_left_int = Concat<axis = 0>(first_row, first_column)
  lower_right_int = Concat<axis = 0>(last_row, last_column)
"""

# `plane`: rows and columns of the picture, from its shape `size`.
PLANE = """\
  two = Constant<value_ints = [2]>()
  four = Constant<value_ints = [4]>()
  plane_int = Slice(size, two, four)
  plane = Cast<to = 1>(plane_int)
"""


def at_full_size(upper_left, lower_right):
    """`start` and `end`: these corners on `small`, whose side is `full`, on the picture itself."""
    return f"""\
  scale = Div(plane, full)
  start_exact = Mul({upper_left}, scale)
  end_exact = Mul({lower_right}, scale)
  start = Floor(start_exact)
  end = Ceil(end_exact)
  start_int = Cast<to = 7>(start)
  end_int = Cast<to = 7>(end)
"""


def cut_of(picture):
    """What lies between `start` and `end`."""
    return f"  cut = Slice({picture}, start_int, end_int, plane_axes)\n"


def whole_cut(picture):
    """All of that where the corners of the field are the outermost pixels, the last one included."""
    return (
        f"  size = Shape({picture})\n"
        + PLANE
        + "  full = Constant<value = float {256.0}>()\n"
        + at_full_size("upper_left", "lower_right")
        + "  plane_axes = Constant<value_ints = [2, 3]>()\n"
        + cut_of(picture)
    )


# `box`: x, y, width and height of what was cut out.
BOX = """\
  box_size = Sub(end, start)
  reverse_order = Constant<value_ints = [1, 0]>()
  box_corner = Gather<axis = 0>(start, reverse_order)
  box_extent = Gather<axis = 0>(box_size, reverse_order)
  box = Concat<axis = 0>(box_corner, box_extent)
"""
