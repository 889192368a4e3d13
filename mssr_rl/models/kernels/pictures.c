/* Pictures cut into patches, each value by way of a table: scaled and normalised.
 *
 * `pictures.py` says in which order; Torch would copy byte by byte.
 */

#include "common.h"

/* pixels: n channels height width, `steps` apart along each; table: channels 256. Patches of `side`
 * pixels squared lie as `merge` x `merge` blocks, blocks row by row; a patch is channels, side, side. */
int patches(const uint8_t *pixels, const float *table, float *out, const int64_t *shape,
            const int64_t *steps, int64_t side, int64_t merge) {
  int64_t channels = shape[1], block = side * merge;
  for (int64_t picture = 0; picture < shape[0]; picture++, pixels += steps[0])
    for (int64_t top = 0; top < shape[2]; top += block)
      for (int64_t left = 0; left < shape[3]; left += block)
        for (int64_t patch = 0; patch < merge * merge; patch++) {
          int64_t y = top + patch / merge * side, x = left + patch % merge * side;
          for (int64_t row = 0; row < channels * side; row++, out += side) {
            int64_t channel = row / side;
            const uint8_t *from = pixels + channel * steps[1] + (y + row % side) * steps[2];
            for (int64_t j = 0; j < side; j++)
              out[j] = table[channel * 256 + from[(x + j) * steps[3]]];
          }
        }
  return 0;
}
