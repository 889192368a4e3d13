/* Attention in sampling: one query token a row, over keys and values that grow by one a step.
 *
 * attention.c loads a key once for many queries of a sequence; here every query has keys of its own.
 * layers.c calls it.
 *
 * Shapes: A rows, K key-value heads, H values a head (a multiple of 16 is fast).
 */

#include "common.h"

#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t Places __attribute__((vector_size(4 * LANES)));
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (Places){__VA_ARGS__})
#endif

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

/* Sums stay in registers: a row of values is too short to hide that they would go to memory. */
INLINE void add_mixture(float *out, const float *p, const float *values, int64_t count, int64_t H) {
  int64_t h = 0;
  for (; h + LANES <= H; h += LANES) {
    Vector even = load(out + h), odd = {0};
    int64_t s = 0;
    for (; s + 2 <= count; s += 2) {
      even += p[s] * load(values + s * H + h);
      odd += p[s + 1] * load(values + (s + 1) * H + h);
    }
    if (s < count) even += p[s] * load(values + s * H + h);
    store(out + h, even + odd);
  }
  for (; h < H; h++)
    for (int64_t s = 0; s < count; s++) out[h] += p[s] * values[s * H + h];
}

INLINE int of_one(const float *q, const float *k, const float *v, const int64_t *length, float *out,
                  int64_t a, int64_t query_heads, int64_t key_heads, int64_t room,
                  int64_t prompt_width, int64_t end, int64_t H) {
  int64_t sharing = query_heads / key_heads, own = end - prompt_width;
  float *p = malloc((up(prompt_width) + up(own)) * sizeof(float)), scale = 1.0f / sqrtf((float)H);
  if (!p) return NO_ROOM;
  for (int64_t i = 0; i < a * query_heads; i++, q += H, out += H) {
    int64_t row = i / query_heads, head = i % query_heads / sharing, prompt = length[row];
    const float *keys = k + (row * key_heads + head) * room * H;
    const float *values = v + (row * key_heads + head) * room * H;
    float *own_p = p + up(prompt), most = -1e30f, sum = 0;
    scores(p, q, keys, prompt, H, scale);
    scores(own_p, q, keys + prompt_width * H, own, H, scale);
    int64_t n = up(prompt) + up(own);
#pragma omp simd reduction(max : most)
    for (int64_t s = 0; s < n; s++) most = p[s] > most ? p[s] : most;
#pragma omp simd reduction(+ : sum)
    for (int64_t s = 0; s < n; s++) {
      p[s] = exponential(p[s] - most);
      sum += p[s];
    }
    memset(out, 0, H * sizeof(float));
    add_mixture(out, p, values, prompt, H);
    add_mixture(out, own_p, values + prompt_width * H, own, H);
    float inverse = 1.0f / sum;
    SIMD for (int64_t h = 0; h < H; h++) out[h] *= inverse;
  }
  free(p);
  return 0;
}

/* A row has `length` real keys of its prompt among the first `prompt_width` of `room`, and behind those
 * the keys of its own tokens up to `end`. k and v are A K room H. */
int attention_of_one(const float *q, const float *k, const float *v, const int64_t *length,
                     float *out, int64_t a, int64_t query_heads, int64_t key_heads, int64_t room,
                     int64_t prompt_width, int64_t end, int64_t H) {
#define OF_ONE(H) \
  of_one(q, k, v, length, out, a, query_heads, key_heads, room, prompt_width, end, H)
  return H == 32 ? OF_ONE(32) : H == 64 ? OF_ONE(64) : OF_ONE(H);
#undef OF_ONE
}
