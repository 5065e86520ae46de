package route

import "github.com/multigres/multigres/go/common/parser/ast"

// jsonArray marks a sub-query that is JSON_ARRAY's.
const jsonArray = 1

// plainJSON puts what it amounts to for routing in place of what SQL/JSON has a syntax of its own
// for: JSON_ARRAYAGG and JSON_OBJECTAGG are aggregates, and JSON_ARRAY(SELECT …) has a sub-query. It
// takes parentheses off joins, too.
// Nothing is written from the tree, so that servers get what the client says.
func plainJSON(tree ast.Node) ast.Node {
	return ast.Rewrite(tree, nil, func(c *ast.Cursor) bool {
		switch x := c.Node().(type) {
		case *ast.JsonArrayAgg:
			if x != nil {
				c.Replace(aggregateOf("json_arrayagg", x.Constructor, x.Arg))
			}
		case *ast.JsonObjectAgg:
			if x != nil {
				c.Replace(aggregateOf("json_objectagg", x.Constructor, x.Arg))
			}
		case *ast.ParenExpr: // of FROM (a JOIN b …), which mean nothing
			if x != nil {
				if j, isJoin := x.Expr.(*ast.JoinExpr); isJoin {
					c.Replace(j)
				}
			}
		case *ast.JsonArrayQueryConstructor:
			if x != nil {
				sub := ast.NewSubLink(ast.ARRAY_SUBLINK, x.Query)
				sub.SubLinkId = jsonArray
				c.Replace(sub)
			}
		}
		return true
	})
}

// aggregateOf is a call of an aggregate that has no place in the text, so that none is made of its
// parts.
func aggregateOf(name string, c *ast.JsonAggConstructor, arg ast.Node) *ast.FuncCall {
	list := func(n ...ast.Node) *ast.NodeList { return &ast.NodeList{Items: n} }
	call := ast.NewFuncCall(list(ast.NewString(name)), list(arg), -1)
	if c != nil {
		call.AggOrder, call.AggFilter, call.Over = c.AggOrder, c.AggFilter, c.Over
	}
	return call
}

// formName is the name of a column that is something with a syntax of its own, as
// FigureColnameInternal has it (parse_target.c).
func formName(n ast.Node) string {
	switch n := n.(type) {
	case *ast.JsonObjectConstructor:
		return "json_object"
	case *ast.JsonArrayConstructor:
		return "json_array"
	case *ast.JsonParseExpr:
		return "json"
	case *ast.JsonScalarExpr:
		return "json_scalar"
	case *ast.JsonSerializeExpr:
		return "json_serialize"
	case *ast.JsonFuncExpr:
		return map[ast.JsonExprOp]string{ast.JSON_EXISTS_OP: "json_exists", ast.JSON_QUERY_OP: "json_query", ast.JSON_VALUE_OP: "json_value"}[n.Op]
	case *ast.XmlSerialize:
		return "xmlserialize"
	case *ast.XmlExpr:
		return map[ast.XmlExprOp]string{
			ast.IS_XMLCONCAT: "xmlconcat", ast.IS_XMLELEMENT: "xmlelement", ast.IS_XMLFOREST: "xmlforest", ast.IS_XMLPARSE: "xmlparse",
			ast.IS_XMLPI: "xmlpi", ast.IS_XMLROOT: "xmlroot", ast.IS_XMLSERIALIZE: "xmlserialize",
		}[n.Op]
	case *ast.GroupingFunc:
		return "grouping"
	case *ast.MergeSupportFunc:
		return "merge_action"
	case *ast.SQLValueFunction:
		return map[ast.SQLValueFunctionOp]string{
			ast.SVFOP_CURRENT_DATE: "current_date", ast.SVFOP_CURRENT_TIME: "current_time", ast.SVFOP_CURRENT_TIME_N: "current_time",
			ast.SVFOP_CURRENT_TIMESTAMP: "current_timestamp", ast.SVFOP_CURRENT_TIMESTAMP_N: "current_timestamp",
			ast.SVFOP_LOCALTIME: "localtime", ast.SVFOP_LOCALTIME_N: "localtime",
			ast.SVFOP_LOCALTIMESTAMP: "localtimestamp", ast.SVFOP_LOCALTIMESTAMP_N: "localtimestamp",
			ast.SVFOP_CURRENT_ROLE: "current_role", ast.SVFOP_CURRENT_USER: "current_user", ast.SVFOP_USER: "user",
			ast.SVFOP_SESSION_USER: "session_user", ast.SVFOP_CURRENT_CATALOG: "current_catalog", ast.SVFOP_CURRENT_SCHEMA: "current_schema",
		}[n.Op]
	}
	return ""
}
