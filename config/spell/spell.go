// Package spell finds the known word that somebody probably meant.
package spell

// Nearest returns the candidate that is nearest to word, or "" when none is near enough to
// be worth a suggestion: at most a third of the longer word may differ, and at least one
// letter.
func Nearest(word string, candidates []string) string {
	best, bestDistance := "", -1
	for _, c := range candidates {
		d := distance(word, c)
		if d > max(1, max(len(word), len(c))/3) {
			continue
		}
		if bestDistance < 0 || d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts the insertions, deletions, substitutions and swaps of neighbours that
// turn a into b (the optimal string alignment distance), over bytes.
func distance(a, b string) int {
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
