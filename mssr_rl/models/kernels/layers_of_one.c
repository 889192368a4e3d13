/* A transformer's layers in sampling: one token a row through all of them, in one call.
 *
 * With so few tokens, what Torch does around its matrix products takes as long as they, and two
 * threads wait for each other meanwhile. A row's sums do not depend on the other rows.
 *
 * Shapes: A rows, D hidden, Q query and K key-value heads, H values a head, I inner values of the
 * feed-forward half.
 */

#include "common.h"

enum { COLUMNS = 2 * LANES };  // of a panel: a matrix lies as panels, each with a row after the other
#ifdef __AVX512F__
enum { TOGETHER = 8 };  // rows: their sums stay in registers
#else
enum { TOGETHER = 2 };
#endif

typedef struct {
  const float *norm, *qkv, *qkv_bias, *out, *norm_after, *gate_up, *down;
  float *keys, *values;  // A K room H
} Layer;

typedef struct {
  int64_t layers, rows, hidden, inner, query_heads, key_heads, size, room, prompt_width, end;
  float eps;
} Sizes;

/* ---- matrix products --------------------------------------------------------------------- */

/* y += x times one panel, for `rows` rows. */
INLINE void times_panel(const float *x, const float *panel, float *y, int64_t rows, int64_t inputs,
                        int64_t outputs) {
  Vector left[TOGETHER], right[TOGETHER];
  for (int64_t i = 0; i < rows; i++) {
    left[i] = load(y + i * outputs);
    right[i] = load(y + i * outputs + LANES);
  }
  for (int64_t j = 0; j < inputs; j++) {
    Vector a = load(panel + j * COLUMNS), b = load(panel + j * COLUMNS + LANES);
#pragma GCC unroll 8
    for (int64_t i = 0; i < rows; i++) {
      left[i] += x[i * inputs + j] * a;
      right[i] += x[i * inputs + j] * b;
    }
  }
  for (int64_t i = 0; i < rows; i++) {
    store(y + i * outputs, left[i]);
    store(y + i * outputs + LANES, right[i]);
  }
}

/* y += x times the matrix: n rows of `inputs` values become as many of `outputs`. */
static void add_product(const float *x, const float *matrix, float *y, int64_t n, int64_t inputs,
                        int64_t outputs) {
  for (int64_t column = 0; column < outputs; column += COLUMNS, matrix += inputs * COLUMNS) {
    int64_t i = 0;
    for (; i + TOGETHER <= n; i += TOGETHER)
      times_panel(x + i * inputs, matrix, y + i * outputs + column, TOGETHER, inputs, outputs);
    for (; i < n; i++)
      times_panel(x + i * inputs, matrix, y + i * outputs + column, 1, inputs, outputs);
  }
}

/* Rows that all begin as the bias, or as zeros. */
static void fill(float *y, const float *bias, int64_t n, int64_t d) {
  if (!bias) memset(y, 0, n * d * sizeof(float));
  else
    for (int64_t i = 0; i < n; i++) memcpy(y + i * d, bias, d * sizeof(float));
}

/* ---- layers ------------------------------------------------------------------------------ */

/* The newest key or value of n rows to its place behind the earlier ones. */
static void keep(float *kept, const float *heads, int64_t stride, int64_t n, const Sizes *s) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t head = 0; head < s->key_heads; head++)
      memcpy(kept + ((i * s->key_heads + head) * s->room + s->end - 1) * s->size,
             heads + i * stride + head * s->size, s->size * sizeof(float));
}

static int attend(const Layer *layer, const float *qkv, const float *cosine, const float *sine,
                  const int64_t *length, float *turned, float *attended, int64_t first, int64_t n,
                  const Sizes *s) {
  int64_t H = s->size, stride = (s->query_heads + 2 * s->key_heads) * H;
  int64_t before = first * s->key_heads * s->room * H;
  float *keys = layer->keys + before, *values = layer->values + before;
  const float *k = qkv + s->query_heads * H, *v = k + s->key_heads * H;
  rotate(k, stride, cosine, sine, turned, n, s->key_heads, H, 1);
  keep(keys, turned, s->key_heads * H, n, s);
  keep(values, v, stride, n, s);
  rotate(qkv, stride, cosine, sine, turned, n, s->query_heads, H, 1);
  return attention_of_one(turned, keys, values, length, attended, n, s->query_heads, s->key_heads,
                          s->room, s->prompt_width, s->end, H);
}

/* x: A D, in place; cosine and sine A H/2; scratch for as many rows as are `together`. */
int layers_of_one(const Layer *layers, const Sizes *s, float *x, const float *cosine,
                  const float *sine, const int64_t *length, float *scratch, int64_t together) {
  int64_t D = s->hidden, I = s->inner, Q = s->query_heads * s->size, half = s->size / 2;
  int64_t wide = Q + 2 * s->key_heads * s->size;
  float *inverse = scratch, *normed = inverse + together, *qkv = normed + together * D;
  float *turned = qkv + together * wide, *attended = turned + together * Q;
  float *gate_up = attended + together * Q, *gated = gate_up + together * 2 * I;
  for (int64_t first = 0; first < s->rows; first += together) {
    int64_t n = s->rows - first < together ? s->rows - first : together;
    float *here = x + first * D;
    for (const Layer *layer = layers; layer < layers + s->layers; layer++) {
      rms_norm(here, layer->norm, normed, inverse, n, D, s->eps);
      fill(qkv, layer->qkv_bias, n, wide);
      add_product(normed, layer->qkv, qkv, n, D, wide);
      int failed = attend(layer, qkv, cosine + first * half, sine + first * half, length + first,
                          turned, attended, first, n, s);
      if (failed) return failed;
      add_product(attended, layer->out, here, n, Q, D);
      rms_norm(here, layer->norm_after, normed, inverse, n, D, s->eps);
      fill(gate_up, NULL, n, 2 * I);
      add_product(normed, layer->gate_up, gate_up, n, D, 2 * I);
      for (int64_t i = 0; i < n; i++)
        swiglu(gate_up + i * 2 * I, gate_up + (2 * i + 1) * I, gated + i * I, I);
      add_product(gated, layer->down, here, n, I, D);
    }
  }
  return 0;
}
