/* Attention over sequences of any length that lie one behind the other, without padding.
 *
 * Shapes: N tokens one behind the other, H values a head (a multiple of 16 is fast), S tokens that are
 * seen, P prompts of at most L tokens, K key-value heads.
 */

#include "common.h"

#ifdef __AVX512F__
enum { TILE = 8 };  // queries at once: enough to use what was loaded, few enough for registers
#else
enum { TILE = 4 };
#endif

/* One key head of one sequence: what its queries see, and which they are. */
typedef struct {
  const float *k, *v, *prompt_k, *prompt_v;
  int64_t sequence, head, length, before, seen, width, rows, prompt_at, prompt_stride;
} Part;

INLINE Part part_of(const Attention *a, int64_t b, int64_t head, int64_t H) {
  int64_t prompt = b / a->group, at = (prompt * a->prompt_width * a->key_heads + head) * H;
  Part p = {.sequence = b, .head = head, .length = a->length[b]};
  p.k = a->k + a->first[b] * a->k_stride + head * H;
  p.v = a->v + a->first[b] * a->v_stride + head * H;
  if (a->before) {
    p.before = a->before[prompt];
    p.prompt_k = a->prompt_k + at;
    p.prompt_v = a->prompt_v + at;
  }
  p.seen = p.before + p.length;
  p.width = up(p.seen);
  p.rows = p.length * (a->query_heads / a->key_heads);
  p.prompt_at = at;
  p.prompt_stride = a->key_heads * H;
  return p;
}

/* What a part sees at place s: a row of its prompt, or one of its own. */
INLINE const float *row_of(const float *prompt, const float *own, int64_t stride, const Part *p,
                           int64_t s) {
  return s < p->before ? prompt + s * p->prompt_stride : own + (s - p->before) * stride;
}

/* Rows become columns: after four such steps row i, column j is at row j, column i. */
INLINE void turn(Vector *a) {
  for (int64_t step = 0; step < 4; step++) {
    Vector b[LANES];
    for (int64_t i = 0; i < LANES; i++) b[i] = a[i];
#pragma GCC unroll 8
    for (int64_t i = 0; i < LANES / 2; i++) {
      Vector upper = b[i], lower = b[i + LANES / 2];
      a[2 * i] = SHUFFLE(upper, lower, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      a[2 * i + 1] =
          SHUFFLE(upper, lower, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
  }
}

/* Rows of prompt and sequence as columns, H x width; zeros behind them. */
INLINE void columns(float *restrict out, const float *prompt, const float *own, int64_t stride,
                    const Part *p, int64_t H) {
  int64_t whole = H / LANES * LANES;
  for (int64_t s = 0; s < p->width; s += LANES)
    for (int64_t h = 0; h < whole; h += LANES) {
      Vector square[LANES];
#pragma GCC unroll 16
      for (int64_t i = 0; i < LANES; i++)
        square[i] = s + i < p->seen ? load(row_of(prompt, own, stride, p, s + i) + h) : (Vector){0};
      turn(square);
#pragma GCC unroll 16
      for (int64_t i = 0; i < LANES; i++) store(out + (h + i) * p->width + s, square[i]);
    }
  for (int64_t s = 0; whole < H && s < p->width; s++)
    for (int64_t h = whole; h < H; h++)
      out[h * p->width + s] = s < p->seen ? row_of(prompt, own, stride, p, s)[h] : 0;
}

INLINE void rows(float *restrict out, const float *prompt, const float *own, int64_t stride,
                 const Part *p, int64_t H) {
  for (int64_t s = 0; s < p->seen; s++)
    memcpy(out + s * H, row_of(prompt, own, stride, p, s), H * sizeof(float));
}

/* Some queries side by side: their places among N Q, how many tokens each sees. */
typedef struct {
  int64_t place[TILE], seen[TILE], most;
} Tile;

/* x: their vectors, TILE H. */
INLINE Tile tile_of(const Attention *a, const Part *p, int64_t start, float *x, int64_t H) {
  Tile t = {.most = 0};
  int64_t sharing = a->query_heads / a->key_heads;
  for (int64_t i = 0; i < TILE; i++) {
    int64_t row = start + i < p->rows ? start + i : p->rows - 1, token = row / sharing;
    int64_t n = a->first[p->sequence] + token, head = p->head * sharing + row % sharing;
    memcpy(x + i * H, a->q + n * a->q_stride + head * H, H * sizeof(float));
    t.place[i] = n * a->query_heads + head;
    t.seen[i] = start + i < p->rows ? p->before + (a->causal ? token + 1 : p->length) : 0;
    if (t.seen[i] > t.most) t.most = t.seen[i];
  }
  return t;
}

/* out[i][s] = scale * x[i] . y[s], y as columns */
INLINE void products(float *restrict out, const float *restrict x, const float *restrict columns,
                     int64_t width, int64_t most, int64_t H, float scale) {
  for (int64_t s = 0; s < most; s += LANES) {
    Vector sum[TILE] = {{0}};
    for (int64_t h = 0; h < H; h++) {
      Vector y = load(columns + h * width + s);
#pragma GCC unroll 8
      for (int64_t i = 0; i < TILE; i++) sum[i] += x[i * H + h] * y;
    }
    for (int64_t i = 0; i < TILE; i++) store(out + i * width + s, sum[i] * scale);
  }
}

/* out[i] = sum over s of p[i][s] y[s] */
INLINE void mixtures(float *restrict out, const float *restrict p, const float *restrict y,
                     int64_t width, int64_t most, int64_t H) {
  int64_t h = 0;
  for (; h + LANES <= H; h += LANES) {
    Vector sum[TILE] = {{0}};
    for (int64_t s = 0; s < most; s++) {
      Vector row = load(y + s * H + h);
#pragma GCC unroll 8
      for (int64_t i = 0; i < TILE; i++) sum[i] += p[i * width + s] * row;
    }
    for (int64_t i = 0; i < TILE; i++) store(out + i * H + h, sum[i]);
  }
  for (; h < H; h++)
    for (int64_t i = 0; i < TILE; i++) {
      float sum = 0;
      for (int64_t s = 0; s < most; s++) sum += p[i * width + s] * y[s * H + h];
      out[i * H + h] = sum;
    }
}

/* out[s] += sum over i of p[i][s] x[i] */
INLINE void spread(float *restrict out, const float *restrict p, const float *restrict x,
                   int64_t width, int64_t most, int64_t H) {
  int64_t h = 0;
  for (; h + LANES <= H; h += LANES) {
    Vector row[TILE];
    for (int64_t i = 0; i < TILE; i++) row[i] = load(x + i * H + h);
    for (int64_t s = 0; s < most; s++) {
      Vector sum = load(out + s * H + h);
#pragma GCC unroll 8
      for (int64_t i = 0; i < TILE; i++) sum += p[i * width + s] * row[i];
      store(out + s * H + h, sum);
    }
  }
  for (; h < H; h++)
    for (int64_t s = 0; s < most; s++)
      for (int64_t i = 0; i < TILE; i++) out[s * H + h] += p[i * width + s] * x[i * H + h];
}

INLINE int64_t widest(const Attention *a) {
  int64_t most = 0;
  for (int64_t b = 0; b < a->sequences; b++) {
    int64_t seen = a->length[b] + (a->before ? a->before[b / a->group] : 0);
    if (seen > most) most = seen;
  }
  return up(most);
}

INLINE int forward(const Attention *a, float *out, float *log_sum, const int64_t H) {
  int64_t width = widest(a);
  float *scratch = malloc(((2 * H + TILE) * width + 2 * TILE * H) * sizeof(float));
  if (!scratch) return NO_ROOM;
  float *keys = scratch, *values = keys + H * width, *p = values + H * width;
  float *x = p + TILE * width, *mixed = x + TILE * H, scale = 1.0f / sqrtf((float)H);
  for (int64_t b = 0; b < a->sequences; b++)
    for (int64_t head = 0; head < a->key_heads; head++) {
      Part part = part_of(a, b, head, H);
      columns(keys, part.prompt_k, part.k, a->k_stride, &part, H);
      rows(values, part.prompt_v, part.v, a->v_stride, &part, H);
      for (int64_t start = 0; start < part.rows; start += TILE) {
        Tile t = tile_of(a, &part, start, x, H);
        float most[TILE], sum[TILE];
        int64_t end = up(t.most);
        products(p, x, keys, part.width, t.most, H, scale);
        for (int64_t i = 0; i < TILE; i++)
          for (int64_t j = t.seen[i]; j < end; j++) p[i * part.width + j] = -1e30f;
        softmax(p, TILE, end, part.width, most, sum);
        for (int64_t i = 0; i < TILE; i++) /* e^-87 times what is NaN would be NaN */
          for (int64_t j = t.seen[i]; j < end; j++) p[i * part.width + j] = 0;
        mixtures(mixed, p, values, part.width, t.most, H);
        for (int64_t i = 0; i < TILE; i++) {
          if (!t.seen[i]) continue;
          float inverse = 1.0f / sum[i], *to = out + t.place[i] * H;
          log_sum[t.place[i]] = most[i] + logf(sum[i]);
          SIMD for (int64_t h = 0; h < H; h++) to[h] = mixed[i * H + h] * inverse;
        }
      }
    }
  free(scratch);
  return 0;
}

INLINE int backward(const Attention *a, const float *g, const float *out, const float *log_sum,
                    float *dq, float *dk, float *dv, float *dprompt_k, float *dprompt_v,
                    const int64_t H) {
  int64_t width = widest(a);
  float *scratch = malloc(((5 * H + 2 * TILE) * width + 3 * TILE * H) * sizeof(float));
  if (!scratch) return NO_ROOM;
  float *keys = scratch, *values = keys + H * width, *key_rows = values + H * width;
  float *to_k = key_rows + H * width, *to_v = to_k + H * width, *p = to_v + H * width;
  float *dp = p + TILE * width, *x = dp + TILE * width, *given = x + TILE * H;
  float *mixed = given + TILE * H, scale = 1.0f / sqrtf((float)H);
  for (int64_t b = 0; b < a->sequences; b++)
    for (int64_t head = 0; head < a->key_heads; head++) {
      Part part = part_of(a, b, head, H);
      columns(keys, part.prompt_k, part.k, a->k_stride, &part, H);
      columns(values, part.prompt_v, part.v, a->v_stride, &part, H);
      rows(key_rows, part.prompt_k, part.k, a->k_stride, &part, H);
      memset(to_k, 0, part.seen * H * sizeof(float));
      memset(to_v, 0, part.seen * H * sizeof(float));
      for (int64_t start = 0; start < part.rows; start += TILE) {
        Tile t = tile_of(a, &part, start, x, H);
        for (int64_t i = 0; i < TILE; i++)
          memcpy(given + i * H, g + t.place[i] * H, H * sizeof(float));
        products(p, x, keys, part.width, t.most, H, scale);
        products(dp, given, values, part.width, t.most, H, 1.0f);
        for (int64_t i = 0; i < TILE; i++) {
          float *s = p + i * part.width, *ds = dp + i * part.width, sum = log_sum[t.place[i]];
          float mean = dot(given + i * H, out + t.place[i] * H, H);
          int64_t end = up(t.most);
          for (int64_t j = 0; j < end; j += LANES) {
            Vector e = exponential_of(load(s + j) - sum);
            store(s + j, e);
            store(ds + j, e * (load(ds + j) - mean) * scale);
          }
          for (int64_t j = t.seen[i]; j < end; j++) s[j] = ds[j] = 0;
        }
        mixtures(mixed, dp, key_rows, part.width, t.most, H);
        spread(to_k, dp, x, part.width, t.most, H);
        spread(to_v, p, given, part.width, t.most, H);
        for (int64_t i = 0; i < TILE; i++)
          if (t.seen[i]) memcpy(dq + t.place[i] * H, mixed + i * H, H * sizeof(float));
      }
      for (int64_t s = 0; s < part.before; s++) {
        int64_t to = part.prompt_at + s * part.prompt_stride;
        SIMD for (int64_t h = 0; h < H; h++) dprompt_k[to + h] += to_k[s * H + h];
        SIMD for (int64_t h = 0; h < H; h++) dprompt_v[to + h] += to_v[s * H + h];
      }
      for (int64_t s = 0; s < part.length; s++) {
        int64_t to = ((a->first[b] + s) * a->key_heads + head) * H, from = (part.before + s) * H;
        memcpy(dk + to, to_k + from, H * sizeof(float));
        memcpy(dv + to, to_v + from, H * sizeof(float));
      }
    }
  free(scratch);
  return 0;
}

int attention(const Attention *a, float *out, float *log_sum) {
  if (a->size == 32) return forward(a, out, log_sum, 32);
  if (a->size == 64) return forward(a, out, log_sum, 64);
  return forward(a, out, log_sum, a->size);
}

int attention_gradient(const Attention *a, const float *g, const float *out, const float *log_sum,
                       float *dq, float *dk, float *dv, float *dprompt_k, float *dprompt_v) {
  if (a->size == 32)
    return backward(a, g, out, log_sum, dq, dk, dv, dprompt_k, dprompt_v, 32);
  if (a->size == 64)
    return backward(a, g, out, log_sum, dq, dk, dv, dprompt_k, dprompt_v, 64);
  return backward(a, g, out, log_sum, dq, dk, dv, dprompt_k, dprompt_v, a->size);
}
