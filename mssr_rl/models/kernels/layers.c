/* A transformer's layers without gradient, all of them in one call.
 *
 * In sampling one token a row goes through them, in reading whole sequences do. Torch would write what
 * is between two operations to memory and fetch it again, and two threads would wait for each other
 * between operations; here some rows stay in the cache from the first layer to the last. A token's
 * sums do not depend on which others are beside it.
 *
 * Shapes: n rows, one a token; the rest as in layers.h.
 */

#include "layers.h"

enum { COLUMNS = 2 * LANES };  // of a panel: a matrix lies as panels, each with a row after the other
enum { CACHED = 128 };         // rows that stay in the cache from one panel to the next
#if defined __AVX512F__
enum { ROWS = 8, WIDE = LANES };  // rows whose sums stay in registers, and a register's numbers
#elif defined __AVX__
enum { ROWS = 2, WIDE = 8 };
#else
enum { ROWS = 2, WIDE = 4 };
#endif
enum { PARTS = COLUMNS / WIDE };
typedef float Register __attribute__((vector_size(4 * WIDE), aligned(4)));

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

/* y += x times one panel, for `rows` rows; `stride` is y's. In true registers: compilers keep longer
 * vectors in memory, which takes twenty times as long. */
INLINE void times_panel(const float *x, const float *panel, float *y, int64_t rows, int64_t inputs,
                        int64_t stride) {
  Register sum[ROWS][PARTS];
  for (int64_t i = 0; i < rows; i++)
#pragma GCC unroll 8
    for (int64_t p = 0; p < PARTS; p++) sum[i][p] = *(const Register *)(y + i * stride + p * WIDE);
  for (int64_t j = 0; j < inputs; j++)
#pragma GCC unroll 8
    for (int64_t p = 0; p < PARTS; p++) {
      Register part = *(const Register *)(panel + j * COLUMNS + p * WIDE);
#pragma GCC unroll 8
      for (int64_t i = 0; i < rows; i++) sum[i][p] += x[i * inputs + j] * part;
    }
  for (int64_t i = 0; i < rows; i++)
#pragma GCC unroll 8
    for (int64_t p = 0; p < PARTS; p++) *(Register *)(y + i * stride + p * WIDE) = sum[i][p];
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
    for (; ROWS > 4 && i + 4 <= n; i += 4)
      times_panel(x + i * inputs, panel, y + i * stride + column, 4, inputs, stride);
    for (; ROWS > 2 && i + 2 <= n; i += 2)
      times_panel(x + i * inputs, panel, y + i * stride + column, 2, inputs, stride);
    for (; i < n; i++)
      times_panel(x + i * inputs, panel, y + i * stride + column, 1, inputs, stride);
  }
}

int linear(const float *x, const float *panels, const float *bias, float *y, int64_t n,
           int64_t inputs, int64_t outputs) {
  for (; n > 0; n -= CACHED, x += CACHED * inputs, y += CACHED * outputs)
    product(x, panels, bias, y, n < CACHED ? n : CACHED, inputs, 0, outputs, outputs, 0);
  return 0;
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

/* x: n D, in place; cosine and sine n H/2. The newest token is the last of `own`; where keys and values
 * lie, each layer says for itself. Scratch for n rows. */
int layers_of_one(const Layer *layers, const Sizes *s, float *x, int64_t n, const float *cosine,
                  const float *sine, Context seen, float *scratch) {
  int64_t D = s->hidden, Q = s->query_heads * s->size, K = s->key_heads * s->size;
  int64_t wide = Q + 2 * K;
  Scratch c = carve(scratch, n, s);
  for (const Layer *layer = layers; layer < layers + s->layers; layer++) {
    seen.prompt_k = layer->prompt_keys, seen.prompt_v = layer->prompt_values;
    seen.k = layer->keys, seen.v = layer->values;
    rms_norm(x, layer->norm, c.normed, c.inverse, n, D, s->eps);
    project(layer, c.normed, c.qkv, n, 0, wide, s);
    rotate(c.qkv, wide, cosine, sine, c.q, n, s->query_heads, s->size, 1);
    rotate(c.qkv + Q, wide, cosine, sine, c.k, n, s->key_heads, s->size, 1);
    for (int64_t i = 0; i < n; i++) {
      keep(layer->keys, c.k + i * K, seen.row[i], seen.own - 1, s);
      keep(layer->values, c.qkv + i * wide + Q + K, seen.row[i], seen.own - 1, s);
    }
    if (attention_of_one(c.q, &seen, c.attended, n, s->query_heads, s->key_heads, s->size))
      return NO_ROOM;
    finish(layer, x, n, &c, s);
  }
  return 0;
}

/* ---- sequences ----------------------------------------------------------------------------- */

/* Some sequences, one behind the other: `first` of them is where each begins. */
typedef struct {
  int64_t count, tokens, *first;
  const int64_t *length;
  float *x, *last;
  const float *cosine, *sine;
} Part;

/* Keys and values of a part's tokens, turned, to their places; zeros behind a sequence. */
static void keep_all(float *keys, float *values, const Part *p, const Scratch *c, const Sizes *s) {
  int64_t Q = s->query_heads * s->size, K = s->key_heads * s->size, wide = Q + 2 * K;
  for (int64_t b = 0; b < p->count; b++) {
    for (int64_t place = 0; place < p->length[b]; place++) {
      keep(keys, c->k + (p->first[b] + place) * K, b, place, s);
      keep(values, c->qkv + (p->first[b] + place) * wide + Q + K, b, place, s);
    }
    for (int64_t head = 0; head < s->key_heads; head++) {
      int64_t at = ((b * s->key_heads + head) * s->room + p->length[b]) * s->size;
      int64_t bytes = (s->room - p->length[b]) * s->size * sizeof(float);
      memset(keys + at, 0, bytes), memset(values + at, 0, bytes);
    }
  }
}

/* The last layer, once keys and values are kept: of every sequence only its last token. */
static int finish_last(const Layer *layer, const float *keys, const float *values, const Part *p,
                       const Scratch *c, const Sizes *s) {
  int64_t D = s->hidden, Q = s->query_heads * s->size, wide = Q + 2 * s->key_heads * s->size;
  for (int64_t b = 0; b < p->count; b++) {
    int64_t token = p->first[b] + p->length[b] - 1, half = s->size / 2;
    float *q = c->qkv + b * wide;
    project(layer, c->normed + token * D, q, 1, 0, Q, s);
    rotate(q, wide, p->cosine + token * half, p->sine + token * half, c->q + b * Q, 1,
           s->query_heads, s->size, 1);
    memcpy(p->last + b * D, p->x + token * D, D * sizeof(float));
  }
  Context seen = {.prompt_k = keys, .prompt_v = values, .length = p->length};
  seen.prompt_width = s->room;
  if (attention_of_one(c->q, &seen, c->attended, p->count, s->query_heads, s->key_heads, s->size))
    return NO_ROOM;
  finish(layer, p->last, p->count, c, s);
  return 0;
}

/* All layers over a part, whose sequences are number `number` on among all. */
static int through(const Layer *layers, const Sizes *s, const Part *p, int64_t number,
                   int64_t causal, float *scratch) {
  int64_t n = p->tokens, D = s->hidden, Q = s->query_heads * s->size, K = s->key_heads * s->size;
  int64_t wide = Q + 2 * K, before = number * s->room * K;
  Scratch c = carve(scratch, n, s);
  Attention told = {.q = c.q, .k = c.k, .v = c.qkv + Q + K, .first = p->first, .length = p->length};
  told.sequences = p->count, told.group = 1, told.causal = causal, told.size = s->size;
  told.query_heads = s->query_heads, told.key_heads = s->key_heads;
  told.q_stride = Q, told.k_stride = K, told.v_stride = wide;
  for (const Layer *layer = layers; layer < layers + s->layers; layer++) {
    int ending = p->last && layer == layers + s->layers - 1;
    rms_norm(p->x, layer->norm, c.normed, c.inverse, n, D, s->eps);
    project(layer, c.normed, c.qkv, n, ending ? Q : 0, wide, s);
    rotate(c.qkv + Q, wide, p->cosine, p->sine, c.k, n, s->key_heads, s->size, 1);
    if (layer->keys) keep_all(layer->keys + before, layer->values + before, p, &c, s);
    if (ending)
      return finish_last(layer, layer->keys + before, layer->values + before, p, &c, s);
    rotate(c.qkv, wide, p->cosine, p->sine, c.q, n, s->query_heads, s->size, 1);
    if (attention(&told, c.attended, c.log_sum)) return NO_ROOM;
    finish(layer, p->x, n, &c, s);
  }
  return 0;
}

/* x: sequences one behind the other, D each token, in place; rotary as above. They go through in parts
 * of at most `together` tokens, or of one sequence; scratch for as many. Where `last` is given,
 * sequences D, the last layer's output is only there; keys and values must be kept then. */
int layers_of_sequences(const Layer *layers, const Sizes *s, float *x, const float *cosine,
                        const float *sine, const int64_t *length, int64_t causal, float *last,
                        float *scratch, int64_t together) {
  int64_t half = s->size / 2, code = 0, *first = malloc(s->rows * sizeof(int64_t));
  if (!first) return NO_ROOM;
  for (int64_t b = 0; !code && b < s->rows;) {
    Part p = {.first = first, .length = length + b, .x = x, .cosine = cosine, .sine = sine};
    do {
      first[p.count] = p.tokens;
      p.tokens += p.length[p.count++];
    } while (b + p.count < s->rows && p.tokens + p.length[p.count] <= together);
    p.last = last ? last + b * s->hidden : NULL;
    code = through(layers, s, &p, b, causal, scratch);
    x += p.tokens * s->hidden, cosine += p.tokens * half, sine += p.tokens * half;
    b += p.count;
  }
  free(first);
  return code;
}
