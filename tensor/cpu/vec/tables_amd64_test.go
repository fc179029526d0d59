//go:build !purego

package vec

import (
	"reflect"
	"testing"
)

// TestTablesReplaceAlike: what AVX-512 has in assembly AVX2 has, too, so that a function added to
// one table is not forgotten in the other.
func TestTablesReplaceAlike(t *testing.T) {
	plain, narrow, wide := reflect.ValueOf(goTable()), reflect.ValueOf(avx2Table()),
		reflect.ValueOf(avx512Table())
	replaced := 0
	for i := range plain.NumField() {
		if plain.Field(i).Kind() != reflect.Func {
			continue
		}
		old := plain.Field(i).Pointer()
		inNarrow, inWide := narrow.Field(i).Pointer() != old, wide.Field(i).Pointer() != old
		if inNarrow != inWide {
			t.Errorf("%s: replaced by AVX2 %v, by AVX-512 %v", plain.Type().Field(i).Name, inNarrow,
				inWide)
		}
		if inWide {
			replaced++
		}
	}
	if replaced < 50 {
		t.Errorf("only %d functions are replaced", replaced)
	}
}
