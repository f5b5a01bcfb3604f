"""Figures as JSON and as text."""

from svdjax.metrics.figure import Figure, finite, table


def test_what_is_no_number_is_null_in_json():
  assert finite({'a': [1., float('nan')], 'b': {'c': float('inf')}}) == {
      'a': [1., None], 'b': {'c': None}}


def test_a_figure_is_a_line_of_the_table():
  figure = Figure('PSNR', [20., 22.], {'mean video': 10.}, 'dB')
  line = table([figure])
  assert line.split() == ['PSNR', '21', '±', '2', 'dB', '(mean', 'video', '10)']
