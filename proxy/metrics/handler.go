package metrics

import (
	"net/http"
	"strings"
	"time"
)

// Handler answers GET /metrics, and, for load balancers, GET / by 200 or 502.
type Handler struct {
	// Snapshot returns the figures.
	Snapshot func() *Snapshot
	// Averager, if there is one, is given each snapshot.
	Averager *Averager
	// Namespace stands before every name (general.openmetrics_namespace).
	Namespace string
	// Healthy says whether clients may be sent here. Default: they may.
	Healthy func() bool
}

// ServeHTTP answers.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	switch r.URL.Path {
	case "/metrics":
		h.metrics(w, r)
	case "/", "/health":
		HealthHandler(h.Healthy).ServeHTTP(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (h *Handler) metrics(w http.ResponseWriter, r *http.Request) {
	f := Text
	if strings.Contains(r.Header.Get("Accept"), "application/openmetrics-text") {
		f = OpenMetrics
	}
	s := h.Snapshot()
	if h.Averager != nil {
		h.Averager.Sample(s)
	}
	w.Header().Set("Content-Type", f.ContentType())
	if r.Method == http.MethodHead {
		return
	}
	_ = Write(w, s, h.Averager, h.Namespace, f) // a scraper that is gone needs no answer
}

// HealthHandler answers 200 if healthy says so, or is nil, else 502.
func HealthHandler(healthy func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if healthy != nil && !healthy() {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("down\n"))
			return
		}
		_, _ = w.Write([]byte("up\n"))
	})
}

// NewServer returns a server with bounds on what a peer may cost; the caller listens, serves
// and closes.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 1 << 14,
	}
}
