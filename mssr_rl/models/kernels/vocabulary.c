/* From a row of logits to what a policy thinks of a token, and to a token drawn.
 *
 * A row stays in the fastest cache from its first pass to its last; torch sends all rows through
 * memory for each of a dozen operations (`vocabulary.py` has them).
 *
 * Shapes: n rows of v logits. `banned` lists `count` tokens that have no probability.
 */

#include "common.h"

#define LEAST -87.0f /* [nat] below the likeliest: no probability */

/* The row over the temperature, banned tokens at the bottom of it; gives the largest. */
INLINE float tempered(const float *restrict logits, float *restrict z, int64_t v,
                      const int64_t *banned, int64_t count, float temperature) {
  float most = -INFINITY;
  SIMD for (int64_t j = 0; j < v; j++) z[j] = logits[j] / temperature;
  for (int64_t j = 0; j < count; j++) z[banned[j]] = -INFINITY;
#pragma omp simd reduction(max : most)
  for (int64_t j = 0; j < v; j++) most = z[j] > most ? z[j] : most;
  return most;
}

INLINE float probability(float log) { return log <= LEAST ? 0.0f : exponential(log); }
INLINE float bounded(float log) { return log < LEAST ? LEAST : log; } /* 0 times it is 0 */

INLINE int beyond(const int64_t *token, int64_t count, int64_t v) {
  for (int64_t i = 0; i < count; i++)
    if (token[i] < 0 || token[i] >= v) return 1;
  return 0;
}

/* Log-probability of each row's token, entropy of the row, and the log of its sum over the largest. */
int token_scores(const float *logits, const int64_t *token, const int64_t *banned, int64_t count,
                 float temperature, float *logprob, float *entropy, float *log_sum, int64_t n,
                 int64_t v) {
  if (beyond(token, n, v) || beyond(banned, count, v)) return NO_TOKEN;
  float *z = malloc(v * sizeof(float));
  if (!z) return NO_ROOM;
  for (int64_t i = 0; i < n; i++, logits += v) {
    float most = tempered(logits, z, v, banned, count, temperature), sum = 0, along = 0;
#pragma omp simd reduction(+ : sum, along)
    for (int64_t j = 0; j < v; j++) {
      float p = probability(z[j] - most);
      sum += p;
      along += p * bounded(z[j] - most);
    }
    float log = log_sum[i] = logf(sum);
    logprob[i] = z[token[i]] - most - log;
    entropy[i] = log - along / sum;
  }
  free(z);
  return 0;
}

/* d logprob / dz = (is the token) - p,   d entropy / dz = -p (log p + entropy). */
int token_scores_gradient(const float *of_logprob, const float *of_entropy, const float *logits,
                          const int64_t *token, const int64_t *banned, int64_t count,
                          float temperature, const float *entropy, const float *log_sum,
                          float *dlogits, int64_t n, int64_t v) {
  for (int64_t i = 0; i < n; i++, logits += v, dlogits += v) {
    float g = of_logprob[i], h = of_entropy[i];
    float most = tempered(logits, dlogits, v, banned, count, temperature);
    SIMD for (int64_t j = 0; j < v; j++) {
      float log = dlogits[j] - most - log_sum[i];
      dlogits[j] = -probability(log) * (g + h * (bounded(log) + entropy[i])) / temperature;
    }
    dlogits[token[i]] += g / temperature;
  }
  return 0;
}

/* The token whose slice of the cumulative distribution holds the row's uniform number, or the
 * likeliest one where there are no numbers; with its log-probability and the row's entropy. */
int draw(const float *logits, const float *uniform, const int64_t *banned, int64_t count,
         float temperature, int64_t *token, float *logprob, float *entropy, int64_t n, int64_t v) {
  if (beyond(banned, count, v)) return NO_TOKEN;
  float *z = malloc(2 * v * sizeof(float));
  if (!z) return NO_ROOM;
  float *p = z + v;
  for (int64_t i = 0; i < n; i++, logits += v) {
    float most = tempered(logits, z, v, banned, count, temperature), along = 0;
    double sum = 0;
#pragma omp simd reduction(+ : sum, along)
    for (int64_t j = 0; j < v; j++) {
      p[j] = probability(z[j] - most);
      sum += p[j];
      along += p[j] * bounded(z[j] - most);
    }
    int64_t at = 0;
    if (uniform) {
      double target = uniform[i] * sum, below = p[0];
      while (at < v - 1 && !(below > target)) below += p[++at];
      while (at > 0 && p[at] == 0) at--; /* rounding led past the last that has any */
    } else {
      while (at < v - 1 && z[at] != most) at++;
    }
    if (sum != sum) at = v - 1; /* no numbers: the log-probability says so */
    float log = logf(sum);
    token[i] = at;
    logprob[i] = z[at] - most - log;
    entropy[i] = log - along / (float)sum;
  }
  free(z);
  return 0;
}
