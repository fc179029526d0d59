//go:build amd64 && !purego

package vec

// best returns the variant for this build: there is only Go.
func best() table { return goTable() }

// variants returns every variant that can run here, for the tests.
func variants() []table { return []table{goTable()} }
