/* A transformer's layers without gradient, all of them in one call.
 *
 * In sampling one token a row goes through them, in reading whole sequences do. Torch would write what
 * is between two operations to memory and fetch it again, and two threads would wait for each other
 * between operations; here some rows stay in the cache from the first layer to the last. A token's
 * sums do not depend on which others are beside it.
 *
 * Shapes: n rows, one a token; D hidden, Q query and K key-value heads, H values a head, I inner values
 * of the feed-forward half.
 */

#include "common.h"

enum { COLUMNS = 2 * LANES };  // of a panel: a matrix lies as panels, each with a row after the other
#ifdef __AVX512F__
enum { ROWS = 8 };  // whose sums stay in registers
#else
enum { ROWS = 2 };
#endif

typedef struct {
  const float *norm, *qkv, *qkv_bias, *out, *out_bias;
  const float *norm_after, *gate_up, *gate_up_bias, *down, *down_bias;
  float *keys, *values;  // sequences or rows, K room H; none where nobody asks for them again
} Layer;

typedef struct {
  int64_t layers, rows, hidden, inner, query_heads, key_heads, size, room;
  float eps;
} Sizes;

/* What n rows are on their way through a layer: `Shape.scratch` of layers.py numbers each. */
typedef struct {
  float *inverse, *normed, *qkv, *q, *k, *attended, *log_sum, *gate_up, *gated;
} Scratch;

static Scratch carve(float *room, int64_t n, const Sizes *s) {
  int64_t D = s->hidden, Q = s->query_heads * s->size, K = s->key_heads * s->size;
  Scratch c = {.inverse = room};
  c.normed = c.inverse + n;
  c.qkv = c.normed + n * D;
  c.q = c.qkv + n * (Q + 2 * K);
  c.k = c.q + n * Q;
  c.attended = c.k + n * K;
  c.log_sum = c.attended + n * Q;
  c.gate_up = c.log_sum + n * s->query_heads;
  c.gated = c.gate_up + n * 2 * s->inner;
  return c;
}

/* ---- matrix products --------------------------------------------------------------------- */

/* y += x times one panel, for `rows` rows; `stride` is y's. */
INLINE void times_panel(const float *x, const float *panel, float *y, int64_t rows, int64_t inputs,
                        int64_t stride) {
  Vector left[ROWS], right[ROWS];
  for (int64_t i = 0; i < rows; i++) {
    left[i] = load(y + i * stride);
    right[i] = load(y + i * stride + LANES);
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
    store(y + i * stride, left[i]);
    store(y + i * stride + LANES, right[i]);
  }
}

/* y = bias + x times the columns `from` to `to` of a matrix; `add`: y as it was takes part too. */
static void product(const float *x, const float *matrix, const float *bias, float *y, int64_t n,
                    int64_t inputs, int64_t from, int64_t to, int64_t stride, int add) {
  for (int64_t i = 0; i < n; i++) {
    float *row = y + i * stride;
    if (!add) memset(row + from, 0, (to - from) * sizeof(float));
    if (bias) SIMD for (int64_t j = from; j < to; j++) row[j] += bias[j];
  }
  for (int64_t column = from; column < to; column += COLUMNS) {
    const float *panel = matrix + column * inputs;
    int64_t i = 0;
    for (; i + ROWS <= n; i += ROWS)
      times_panel(x + i * inputs, panel, y + i * stride + column, ROWS, inputs, stride);
    for (; i < n; i++)
      times_panel(x + i * inputs, panel, y + i * stride + column, 1, inputs, stride);
  }
}

/* ---- the two halves of a layer ------------------------------------------------------------- */

/* Queries, keys and values of n rows, those from column `from` to `to`. */
static void project(const Layer *layer, const float *normed, float *qkv, int64_t n, int64_t from,
                    int64_t to, const Sizes *s) {
  int64_t wide = (s->query_heads + 2 * s->key_heads) * s->size;
  product(normed, layer->qkv, layer->qkv_bias, qkv, n, s->hidden, from, to, wide, 0);
}

/* What follows attention: its output projection and the feed-forward half. */
static void finish(const Layer *layer, float *x, int64_t n, const Scratch *c, const Sizes *s) {
  int64_t D = s->hidden, I = s->inner;
  product(c->attended, layer->out, layer->out_bias, x, n, s->query_heads * s->size, 0, D, D, 1);
  rms_norm(x, layer->norm_after, c->normed, c->inverse, n, D, s->eps);
  product(c->normed, layer->gate_up, layer->gate_up_bias, c->gate_up, n, D, 0, 2 * I, 2 * I, 0);
  for (int64_t i = 0; i < n; i++)
    swiglu(c->gate_up + i * 2 * I, c->gate_up + (2 * i + 1) * I, c->gated + i * I, I);
  product(c->gated, layer->down, layer->down_bias, x, n, I, 0, D, D, 1);
}

/* Keys or values of one token to its place among those of its row or sequence. */
INLINE void keep(float *kept, const float *heads, int64_t row, int64_t place, const Sizes *s) {
  for (int64_t head = 0; head < s->key_heads; head++)
    memcpy(kept + ((row * s->key_heads + head) * s->room + place) * s->size,
           heads + head * s->size, s->size * sizeof(float));
}

/* ---- one token a row ----------------------------------------------------------------------- */

/* x: n D, in place; cosine and sine n H/2; `length`, `prompt_width` and `end` as in attention_of_one,
 * the newest token's place is the last before the end. Scratch for as many rows as are `together`. */
int layers_of_one(const Layer *layers, const Sizes *s, float *x, const float *cosine,
                  const float *sine, const int64_t *length, int64_t prompt_width, int64_t end,
                  float *scratch, int64_t together) {
  int64_t D = s->hidden, Q = s->query_heads * s->size, K = s->key_heads * s->size;
  int64_t wide = Q + 2 * K, half = s->size / 2;
  Scratch c = carve(scratch, together, s);
  for (int64_t first = 0; first < s->rows; first += together) {
    int64_t n = s->rows - first < together ? s->rows - first : together;
    const float *cosines = cosine + first * half, *sines = sine + first * half;
    for (const Layer *layer = layers; layer < layers + s->layers; layer++) {
      int64_t before = first * s->room * K;
      float *keys = layer->keys + before, *values = layer->values + before;
      rms_norm(x + first * D, layer->norm, c.normed, c.inverse, n, D, s->eps);
      project(layer, c.normed, c.qkv, n, 0, wide, s);
      rotate(c.qkv, wide, cosines, sines, c.q, n, s->query_heads, s->size, 1);
      rotate(c.qkv + Q, wide, cosines, sines, c.k, n, s->key_heads, s->size, 1);
      for (int64_t i = 0; i < n; i++) {
        keep(keys, c.k + i * K, i, end - 1, s);
        keep(values, c.qkv + i * wide + Q + K, i, end - 1, s);
      }
      if (attention_of_one(c.q, keys, values, length + first, c.attended, n, s->query_heads,
                           s->key_heads, s->room, prompt_width, end, s->size))
        return NO_ROOM;
      finish(layer, x + first * D, n, &c, s);
    }
  }
  return 0;
}

/* ---- sequences ----------------------------------------------------------------------------- */

/* The last layer, once keys and values are kept: of every sequence only its last token. */
static int finish_last(const Layer *layer, const float *x, const float *cosine, const float *sine,
                       const int64_t *first, const int64_t *length, int64_t sequences, float *last,
                       const Scratch *c, const Sizes *s) {
  int64_t D = s->hidden, Q = s->query_heads * s->size, wide = Q + 2 * s->key_heads * s->size;
  for (int64_t b = 0; b < sequences; b++) {
    int64_t token = first[b] + length[b] - 1, half = s->size / 2;
    float *q = c->qkv + b * wide;
    project(layer, c->normed + token * D, q, 1, 0, Q, s);
    rotate(q, wide, cosine + token * half, sine + token * half, c->q + b * Q, 1, s->query_heads,
           s->size, 1);
    memcpy(last + b * D, x + token * D, D * sizeof(float));
  }
  if (attention_of_one(c->q, layer->keys, layer->values, length, c->attended, sequences,
                       s->query_heads, s->key_heads, s->room, s->room, s->room, s->size))
    return NO_ROOM;
  finish(layer, last, sequences, c, s);
  return 0;
}

/* x: n D, in place, sequences as in `Attention`, rotary as above; scratch for n rows. Where `last` is
 * given, sequences D, the last layer's output is only there; keys and values must be kept then. */
int layers_of_sequences(const Layer *layers, const Sizes *s, float *x, const float *cosine,
                        const float *sine, const int64_t *first, const int64_t *length,
                        int64_t sequences, int64_t causal, float *last, float *scratch) {
  int64_t n = s->rows, D = s->hidden, Q = s->query_heads * s->size, K = s->key_heads * s->size;
  int64_t wide = Q + 2 * K;
  Scratch c = carve(scratch, n, s);
  Attention told = {.q = c.q, .k = c.k, .v = c.qkv + Q + K, .first = first, .length = length};
  told.sequences = sequences, told.group = 1, told.causal = causal, told.size = s->size;
  told.query_heads = s->query_heads, told.key_heads = s->key_heads;
  told.q_stride = Q, told.k_stride = K, told.v_stride = wide;
  for (const Layer *layer = layers; layer < layers + s->layers; layer++) {
    int ending = last && layer == layers + s->layers - 1;
    rms_norm(x, layer->norm, c.normed, c.inverse, n, D, s->eps);
    project(layer, c.normed, c.qkv, n, ending ? Q : 0, wide, s);
    rotate(c.qkv + Q, wide, cosine, sine, c.k, n, s->key_heads, s->size, 1);
    for (int64_t b = 0; layer->keys && b < sequences; b++)
      for (int64_t place = 0; place < length[b]; place++) {
        keep(layer->keys, c.k + (first[b] + place) * K, b, place, s);
        keep(layer->values, c.qkv + (first[b] + place) * wide + Q + K, b, place, s);
      }
    if (ending)
      return finish_last(layer, x, cosine, sine, first, length, sequences, last, &c, s);
    rotate(c.qkv, wide, cosine, sine, c.q, n, s->query_heads, s->size, 1);
    if (attention(&told, c.attended, c.log_sum)) return NO_ROOM;
    finish(layer, x, n, &c, s);
  }
  return 0;
}
