/* What the kernels share: vectors, and an exponential that vectorises.
 *
 * `native.py` compiles these files, its siblings call them. float32, contiguous where
 * no stride is given, one thread, sums always in the same order. Nothing here knows of Python or torch.
 * Every kernel gives 0, NO_ROOM if it found no memory for itself, or NO_TOKEN if it was asked for a
 * token beyond the vocabulary.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define SIMD _Pragma("omp simd")
#define LANES 16

enum { NO_ROOM = 1, NO_TOKEN = 2 };

typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t Places __attribute__((vector_size(4 * LANES)));

INLINE Vector load(const float *x) { return *(const Vector *)x; }
INLINE void store(float *x, Vector v) { *(Vector *)x = v; }
INLINE int64_t up(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

/* ---- across a vector ----------------------------------------------------------------------- */

#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (Places){__VA_ARGS__})
#endif
#define BY_8(a) SHUFFLE(a, a, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
#define BY_4(a) SHUFFLE(a, a, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)
#define BY_2(a) SHUFFLE(a, a, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
#define BY_1(a) SHUFFLE(a, a, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)

/* b where a is not larger, so also where a is NaN. */
INLINE Vector larger(Vector a, Vector b) {
  Places is = a > b;
  return (Vector)((is & (Places)a) | (~is & (Places)b));
}

INLINE float sum_of(Vector a) {
  a += BY_8(a), a += BY_4(a), a += BY_2(a), a += BY_1(a);
  return a[0];
}

INLINE float largest_of(Vector a) {
  a = larger(BY_8(a), a), a = larger(BY_4(a), a), a = larger(BY_2(a), a), a = larger(BY_1(a), a);
  return a[0];
}

INLINE float dot(const float *a, const float *b, int64_t n) {
  Vector sum = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) sum += load(a + i) * load(b + i);
  float whole = sum_of(sum);
  for (; i < n; i++) whole += a[i] * b[i];
  return whole;
}

/* ---- exponentials -------------------------------------------------------------------------- */

/* Of r from -log(2)/2 to log(2)/2: Cephes' polynomial, 2 units in the last place. */
#define EXPONENTIAL(r)                                                       \
  ((((((1.9875691500e-4f * (r) + 1.3981999507e-3f) * (r) + 8.3334519073e-3f) * (r) + \
      4.1665795894e-2f) * (r) + 1.6666665459e-1f) * (r) + 5.0000001201e-1f) * (r) * (r) + (r) + 1.0f)

/* NaN stays NaN. */
INLINE float exponential(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  float n = rintf(x * 1.44269504f), r = x - n * 0.693359375f;
  r += n * 2.12194440e-4f;
  union { uint32_t bits; float value; } power = {(uint32_t)((int32_t)n + 127) << 23};
  return EXPONENTIAL(r) * power.value;
}

/* The same of sixteen; what is added to round a number leaves it in the last bits. */
INLINE Vector exponential_of(Vector x) {
  const Vector round = 12582912.0f - (Vector){0};
  x = larger(-87.0f - (Vector){0}, x);
  x = -larger(-88.0f - (Vector){0}, -x);
  Vector t = x * 1.44269504f + round, n = t - round, r = x - n * 0.693359375f;
  r += n * 2.12194440e-4f;
  Places power = ((Places)t + 127) << 23;
  return EXPONENTIAL(r) * (Vector)power;
}

/* Up to ABREAST rows of n scores, `width` apart, n a multiple of LANES, become exp(score - largest).
 * Row by row inside each loop: a row's steps wait for each other, those of several do not. */
enum { ABREAST = 8 };
INLINE void softmax(float *scores, int64_t rows, int64_t n, int64_t width, float *largest,
                    float *sum) {
  Vector most[ABREAST], whole[ABREAST];
  for (int64_t i = 0; i < rows; i++) most[i] = load(scores + i * width), whole[i] = (Vector){0};
  for (int64_t j = LANES; j < n; j += LANES)
    for (int64_t i = 0; i < rows; i++) most[i] = larger(load(scores + i * width + j), most[i]);
  for (int64_t i = 0; i < rows; i++) largest[i] = largest_of(most[i]);
  for (int64_t j = 0; j < n; j += LANES)
    for (int64_t i = 0; i < rows; i++) {
      float *at = scores + i * width + j;
      Vector e = exponential_of(load(at) - largest[i]);
      store(at, e);
      whole[i] += e;
    }
  for (int64_t i = 0; i < rows; i++) sum[i] = sum_of(whole[i]);
}

/* ---- kernels that others are made of ------------------------------------------------------- */

/* Sequence b has tokens first[b] to first[b] + length[b] among the N rows. It sees, before its own
 * tokens, the before[b / group] tokens of its prompt (P L K H); its own up to each one, or all of them. */
typedef struct {
  const float *q, *k, *v, *prompt_k, *prompt_v;
  const int64_t *first, *length, *before;
  int64_t sequences, group, query_heads, key_heads, prompt_width, q_stride, k_stride, v_stride;
  int64_t causal, size;
} Attention;

int attention(const Attention *a, float *y, float *log_sum);

/* What one token a row sees: `length` keys of its prompt, then `own` keys of its own. Prompts are
 * P K prompt_width H, rows K room H; `prompt` and `row` say which are whose, or none: as they come. */
typedef struct {
  const float *prompt_k, *prompt_v, *k, *v;
  const int64_t *prompt, *length, *row;
  int64_t prompt_width, room, own;
} Context;

int attention_of_one(const float *q, const Context *c, float *y, int64_t rows, int64_t query_heads,
                     int64_t key_heads, int64_t H);
int draw(const float *logits, const float *uniform, const int64_t *banned, int64_t count,
         float temperature, int64_t *token, float *logprob, float *entropy, int64_t n, int64_t v);
int rms_norm(const float *x, const float *weight, float *y, float *inverse, int64_t n, int64_t d,
             float eps);
int swiglu(const float *gate, const float *up_, float *y, int64_t n);
int rotate(const float *x, int64_t stride, const float *cosine, const float *sine, float *y,
           int64_t n, int64_t heads, int64_t h, float sign);
