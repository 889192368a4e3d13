/* What a transformer's layers are made of, and how they are called; see layers.c.
 *
 * Shapes: D hidden, Q query and K key-value heads, H values a head, I inner values of the
 * feed-forward half.
 */

#include "common.h"

typedef struct {
  const float *norm, *qkv, *qkv_bias, *out, *out_bias;
  const float *norm_after, *gate_up, *gate_up_bias, *down, *down_bias;
  float *keys, *values;  // sequences or rows, K room H; none where nobody asks for them again
  const float *prompt_keys, *prompt_values;  // what rows see before those, as in `Context`
} Layer;

typedef struct {
  int64_t layers, rows, hidden, inner, query_heads, key_heads, size, room;
  float eps;
} Sizes;

int linear(const float *x, const float *panels, const float *bias, float *y, int64_t n,
           int64_t inputs, int64_t outputs);
int layers_of_one(const Layer *layers, const Sizes *s, float *x, int64_t n, const float *cosine,
                  const float *sine, Context seen, float *scratch);
