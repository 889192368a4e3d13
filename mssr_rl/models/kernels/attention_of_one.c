/* Attention in sampling: one query token a row, over keys and values that grow by one a step.
 *
 * attention.c loads a key once for many queries of a sequence; here every query has keys of its own.
 * layers.c calls it.
 *
 * Shapes: A rows, K key-value heads, H values a head (a multiple of 16 is fast).
 */

#include "common.h"

/* Sums of neighbours: those of a, then those of b. */
INLINE Vector neighbours(Vector a, Vector b) {
  return SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
         SHUFFLE(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}

/* q times each of `count` keys, sixteen at a time; what is behind them is far below any score. */
INLINE void scores(float *p, const float *q, const float *keys, int64_t count, int64_t H,
                   float scale) {
  int64_t whole = H / LANES * LANES;
  for (int64_t s = 0; s < count; s += LANES) {
    Vector sum[LANES];
    for (int64_t i = 0; i < LANES; i++) {
      const float *key = keys + (s + i < count ? s + i : count - 1) * H;
      sum[i] = (Vector){0};
      for (int64_t h = 0; h < whole; h += LANES) sum[i] += load(q + h) * load(key + h);
      for (int64_t h = whole; h < H; h++) sum[i][0] += q[h] * key[h];
    }
    for (int64_t half = LANES / 2; half; half /= 2)
      for (int64_t i = 0; i < half; i++) sum[i] = neighbours(sum[2 * i], sum[2 * i + 1]);
    store(p + s, sum[0] * scale);
  }
  for (int64_t s = count; s < up(count); s++) p[s] = -1e30f;
}

/* Sums stay in registers, several for each place so that none waits for the one before. */
INLINE void add_mixture(float *out, const float *p, const float *values, int64_t count, int64_t H) {
  int64_t h = 0;
  for (; h + LANES <= H; h += LANES) {
    Vector sum[4] = {load(out + h)};
    int64_t s = 0;
    for (; s + 4 <= count; s += 4)
#pragma GCC unroll 4
      for (int64_t i = 0; i < 4; i++) sum[i] += p[s + i] * load(values + (s + i) * H + h);
    for (; s < count; s++) sum[0] += p[s] * load(values + s * H + h);
    store(out + h, (sum[0] + sum[1]) + (sum[2] + sum[3]));
  }
  for (; h < H; h++)
    for (int64_t s = 0; s < count; s++) out[h] += p[s] * values[s * H + h];
}

/* Where the keys or values of a row's prompt and those of its own begin, of one head. */
typedef struct {
  const float *k, *v, *own_k, *own_v;
} Head;

INLINE Head head_of(const Context *c, int64_t row, int64_t head, int64_t key_heads, int64_t H) {
  int64_t prompt = c->prompt ? c->prompt[row] : row;
  int64_t at = (prompt * key_heads + head) * c->prompt_width * H;
  if (!c->own) return (Head){c->prompt_k + at, c->prompt_v + at, NULL, NULL};
  int64_t own_at = ((c->row ? c->row[row] : row) * key_heads + head) * c->room * H;
  return (Head){c->prompt_k + at, c->prompt_v + at, c->k + own_at, c->v + own_at};
}

INLINE int of_one(const float *q, const Context *c, float *y, int64_t rows, int64_t query_heads,
                  int64_t key_heads, int64_t H) {
  int64_t sharing = query_heads / key_heads, width = up(c->prompt_width) + up(c->own);
  float *p = malloc(ABREAST * width * sizeof(float)), scale = 1.0f / sqrtf((float)H);
  if (!p) return NO_ROOM;
  for (int64_t row = 0; row < rows; row++) {
    int64_t length = c->length[row], behind = up(length);
    for (int64_t first = 0; first < query_heads; first += ABREAST) {
      int64_t heads = query_heads - first < ABREAST ? query_heads - first : ABREAST;
      float most[ABREAST], sum[ABREAST];
      for (int64_t i = 0; i < heads; i++) {
        Head at = head_of(c, row, (first + i) / sharing, key_heads, H);
        scores(p + i * width, q + i * H, at.k, length, H, scale);
        scores(p + i * width + behind, q + i * H, at.own_k, c->own, H, scale);
      }
      softmax(p, heads, behind + up(c->own), width, most, sum);
      for (int64_t i = 0; i < heads; i++, q += H, y += H) {
        Head at = head_of(c, row, (first + i) / sharing, key_heads, H);
        memset(y, 0, H * sizeof(float));
        add_mixture(y, p + i * width, at.v, length, H);
        add_mixture(y, p + i * width + behind, at.own_v, c->own, H);
        float inverse = 1.0f / sum[i];
        SIMD for (int64_t h = 0; h < H; h++) y[h] *= inverse;
      }
    }
  }
  free(p);
  return 0;
}

int attention_of_one(const float *q, const Context *c, float *y, int64_t rows, int64_t query_heads,
                     int64_t key_heads, int64_t H) {
  if (H == 32) return of_one(q, c, y, rows, query_heads, key_heads, 32);
  if (H == 64) return of_one(q, c, y, rows, query_heads, key_heads, 64);
  return of_one(q, c, y, rows, query_heads, key_heads, H);
}
