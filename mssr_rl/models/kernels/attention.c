/* Attention over sequences of any length that lie one behind the other, without padding.
 *
 * Shapes: N tokens one behind the other, H values a head (a multiple of 16 is fast), S tokens that are
 * seen, P prompts of at most L tokens, K key-value heads.
 */

#include "common.h"

#define TILE 4 /* queries at once: enough to use a key that was loaded, few enough for registers */

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

/* Rows of prompt and sequence as columns, H x width. */
INLINE void columns(float *restrict out, const float *prompt, const float *own, int64_t stride,
                    const Part *p, int64_t H) {
  for (int64_t s = 0; s < p->seen; s++) {
    const float *row = s < p->before ? prompt + s * p->prompt_stride : own + (s - p->before) * stride;
    for (int64_t h = 0; h < H; h++) out[h * p->width + s] = row[h];
  }
  for (int64_t h = 0; h < H; h++)
    for (int64_t s = p->seen; s < p->width; s++) out[h * p->width + s] = 0;
}

INLINE void rows(float *restrict out, const float *prompt, const float *own, int64_t stride,
                 const Part *p, int64_t H) {
  for (int64_t s = 0; s < p->before; s++)
    memcpy(out + s * H, prompt + s * p->prompt_stride, H * sizeof(float));
  for (int64_t s = 0; s < p->length; s++)
    memcpy(out + (p->before + s) * H, own + s * stride, H * sizeof(float));
}

/* Some queries side by side: their vectors, their places among N Q, how many tokens each sees. */
typedef struct {
  const float *x[TILE];
  int64_t place[TILE], seen[TILE], most;
} Tile;

INLINE Tile tile_of(const Attention *a, const Part *p, int64_t start, int64_t H) {
  Tile t = {.most = 0};
  int64_t sharing = a->query_heads / a->key_heads;
  for (int64_t i = 0; i < TILE; i++) {
    int64_t row = start + i < p->rows ? start + i : p->rows - 1, token = row / sharing;
    int64_t n = a->first[p->sequence] + token, head = p->head * sharing + row % sharing;
    t.x[i] = a->q + n * a->q_stride + head * H;
    t.place[i] = n * a->query_heads + head;
    t.seen[i] = start + i < p->rows ? p->before + (a->causal ? token + 1 : p->length) : 0;
    if (t.seen[i] > t.most) t.most = t.seen[i];
  }
  return t;
}

/* out[i][s] = scale * x[i] . y[s], y as columns */
INLINE void products(float *restrict out, const float *const *x, const float *restrict columns,
                     int64_t width, int64_t most, int64_t H, float scale) {
  for (int64_t s = 0; s < most; s += LANES) {
    Vector a = {0}, b = {0}, c = {0}, d = {0};
    for (int64_t h = 0; h < H; h++) {
      Vector y = load(columns + h * width + s);
      a += x[0][h] * y, b += x[1][h] * y, c += x[2][h] * y, d += x[3][h] * y;
    }
    store(out + s, a * scale), store(out + width + s, b * scale);
    store(out + 2 * width + s, c * scale), store(out + 3 * width + s, d * scale);
  }
}

/* out[i] = sum over s of p[i][s] y[s] */
INLINE void mixtures(float *restrict out, const float *restrict p, const float *restrict y,
                     int64_t width, int64_t most, int64_t H) {
  const float *p1 = p + width, *p2 = p1 + width, *p3 = p2 + width;
  int64_t h = 0;
  for (; h + LANES <= H; h += LANES) {
    Vector a = {0}, b = {0}, c = {0}, d = {0};
    for (int64_t s = 0; s < most; s++) {
      Vector v = load(y + s * H + h);
      a += p[s] * v, b += p1[s] * v, c += p2[s] * v, d += p3[s] * v;
    }
    store(out + h, a), store(out + H + h, b), store(out + 2 * H + h, c), store(out + 3 * H + h, d);
  }
  for (; h < H; h++)
    for (int64_t i = 0; i < TILE; i++) {
      float sum = 0;
      for (int64_t s = 0; s < most; s++) sum += p[i * width + s] * y[s * H + h];
      out[i * H + h] = sum;
    }
}

/* out[s] += sum over i of p[i][s] x[i] */
INLINE void spread(float *restrict out, const float *restrict p, const float *const *x,
                   int64_t width, int64_t most, int64_t H) {
  const float *p1 = p + width, *p2 = p1 + width, *p3 = p2 + width;
  int64_t h = 0;
  for (; h + LANES <= H; h += LANES) {
    Vector a = load(x[0] + h), b = load(x[1] + h), c = load(x[2] + h), d = load(x[3] + h);
    for (int64_t s = 0; s < most; s++) {
      float *to = out + s * H + h;
      store(to, load(to) + p[s] * a + p1[s] * b + p2[s] * c + p3[s] * d);
    }
  }
  for (; h < H; h++)
    for (int64_t s = 0; s < most; s++)
      for (int64_t i = 0; i < TILE; i++) out[s * H + h] += p[i * width + s] * x[i][h];
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
  float *scratch = malloc(((2 * H + TILE) * width + TILE * H) * sizeof(float));
  if (!scratch) return NO_ROOM;
  float *keys = scratch, *values = keys + H * width, *p = values + H * width;
  float *mixed = p + TILE * width, scale = 1.0f / sqrtf((float)H);
  for (int64_t b = 0; b < a->sequences; b++)
    for (int64_t head = 0; head < a->key_heads; head++) {
      Part part = part_of(a, b, head, H);
      columns(keys, part.prompt_k, part.k, a->k_stride, &part, H);
      rows(values, part.prompt_v, part.v, a->v_stride, &part, H);
      for (int64_t start = 0; start < part.rows; start += TILE) {
        Tile t = tile_of(a, &part, start, H);
        float inverse[TILE];
        products(p, t.x, keys, part.width, t.most, H, scale);
        for (int64_t i = 0; i < TILE; i++) {
          float *s = p + i * part.width, most = s[0], sum = 0;
          int64_t end = up(t.most), seen = t.seen[i] ? t.seen[i] : t.most;
          for (int64_t j = seen; j < end; j++) s[j] = -1e30f;
#pragma omp simd reduction(max : most)
          for (int64_t j = 0; j < end; j++) most = s[j] > most ? s[j] : most;
#pragma omp simd reduction(+ : sum)
          for (int64_t j = 0; j < end; j++) {
            s[j] = exponential(s[j] - most);
            sum += s[j];
          }
          for (int64_t j = seen; j < end; j++) s[j] = 0;
          inverse[i] = 1.0f / sum;
          if (t.seen[i]) log_sum[t.place[i]] = most + logf(sum);
        }
        mixtures(mixed, p, values, part.width, t.most, H);
        for (int64_t i = 0; i < TILE; i++)
          if (t.seen[i])
            for (int64_t h = 0; h < H; h++)
              out[t.place[i] * H + h] = mixed[i * H + h] * inverse[i];
      }
    }
  free(scratch);
  return 0;
}

INLINE int backward(const Attention *a, const float *g, const float *out, const float *log_sum,
                    float *dq, float *dk, float *dv, float *dprompt_k, float *dprompt_v,
                    const int64_t H) {
  int64_t width = widest(a);
  float *scratch = malloc(((5 * H + 2 * TILE) * width + TILE * H) * sizeof(float));
  if (!scratch) return NO_ROOM;
  float *keys = scratch, *values = keys + H * width, *key_rows = values + H * width;
  float *to_k = key_rows + H * width, *to_v = to_k + H * width, *p = to_v + H * width;
  float *dp = p + TILE * width, *mixed = dp + TILE * width, scale = 1.0f / sqrtf((float)H);
  for (int64_t b = 0; b < a->sequences; b++)
    for (int64_t head = 0; head < a->key_heads; head++) {
      Part part = part_of(a, b, head, H);
      columns(keys, part.prompt_k, part.k, a->k_stride, &part, H);
      columns(values, part.prompt_v, part.v, a->v_stride, &part, H);
      rows(key_rows, part.prompt_k, part.k, a->k_stride, &part, H);
      memset(to_k, 0, part.seen * H * sizeof(float));
      memset(to_v, 0, part.seen * H * sizeof(float));
      for (int64_t start = 0; start < part.rows; start += TILE) {
        Tile t = tile_of(a, &part, start, H);
        const float *given[TILE];
        for (int64_t i = 0; i < TILE; i++) given[i] = g + t.place[i] * H;
        products(p, t.x, keys, part.width, t.most, H, scale);
        products(dp, given, values, part.width, t.most, H, 1.0f);
        for (int64_t i = 0; i < TILE; i++) {
          float *s = p + i * part.width, *ds = dp + i * part.width, mean = 0;
          const float *of = out + t.place[i] * H;
          int64_t end = up(t.most);
          float sum = log_sum[t.place[i]];
#pragma omp simd reduction(+ : mean)
          for (int64_t h = 0; h < H; h++) mean += given[i][h] * of[h];
          SIMD for (int64_t j = 0; j < end; j++) {
            s[j] = exponential(s[j] - sum);
            ds[j] = s[j] * (ds[j] - mean) * scale;
          }
          for (int64_t j = t.seen[i]; j < end; j++) s[j] = ds[j] = 0;
        }
        mixtures(mixed, dp, key_rows, part.width, t.most, H);
        spread(to_k, dp, t.x, part.width, t.most, H);
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
