// JDBC on a SQLite database; the arguments are host, port, database, user and password.
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.postgresql.PGConnection;

public class Client {
    static void expect(Object got, Object want) {
        if (!want.equals(got)) throw new AssertionError("got " + got + ", want " + want);
    }

    static List<String> column(ResultSet rs, String name) throws SQLException {
        List<String> out = new ArrayList<>();
        while (rs.next()) out.add(rs.getString(name));
        return out;
    }

    public static void main(String[] args) throws Exception {
        Properties p = new Properties();
        p.setProperty("user", args[3]);
        p.setProperty("password", args[4]);
        p.setProperty("prepareThreshold", "2");
        try (Connection c = DriverManager.getConnection("jdbc:postgresql://" + args[0] + ":" + args[1] + "/" + args[2], p)) {
            try (Statement s = c.createStatement()) {
                s.execute("CREATE TABLE java (id integer PRIMARY KEY, name varchar(40) UNIQUE NOT NULL, price numeric(10,2), ok boolean, at timestamp)");
                s.execute("CREATE TABLE child (id integer PRIMARY KEY, parent integer REFERENCES java(id))");
                s.execute("CREATE VIEW cheap AS SELECT * FROM java WHERE price < 2");
            }
            try (PreparedStatement s = c.prepareStatement("INSERT INTO java (name, price, ok, at) VALUES (?, ?, ?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                for (int i = 0; i < 20; i++) { // prepared by name, and binary, from the second on
                    s.setString(1, "n" + i);
                    s.setBigDecimal(2, new java.math.BigDecimal(i + ".5"));
                    s.setBoolean(3, i % 2 == 0);
                    s.setTimestamp(4, Timestamp.valueOf("2024-02-29 13:14:15"));
                    expect(s.executeUpdate(), 1);
                    try (ResultSet keys = s.getGeneratedKeys()) {
                        keys.next();
                        expect(keys.getInt("id"), i + 1);
                    }
                }
            }
            try (PreparedStatement s = c.prepareStatement("SELECT name, price, ok, at, id::int FROM java WHERE id = ?")) {
                for (int i = 1; i <= 5; i++) {
                    s.setInt(1, i);
                    try (ResultSet rs = s.executeQuery()) {
                        rs.next();
                        expect(rs.getString(1), "n" + (i - 1));
                        expect(rs.getDouble(2), i - 0.5);
                        expect(rs.getBoolean(3), i % 2 == 1);
                        expect(rs.getTimestamp(4), Timestamp.valueOf("2024-02-29 13:14:15"));
                        expect(rs.getObject("id"), i);
                    }
                }
            }
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                s.executeUpdate("INSERT INTO java (name) VALUES ('lost')");
                try {
                    s.executeUpdate("INSERT INTO java (name) VALUES ('n1')");
                    throw new AssertionError("a duplicate got in");
                } catch (SQLException e) {
                    expect(e.getSQLState(), "23505");
                }
                c.rollback();
                StringBuilder rows = new StringBuilder();
                for (int i = 0; i < 1000; i++) rows.append("copied").append(i).append("\tt\n");
                expect(c.unwrap(PGConnection.class).getCopyAPI().copyIn("COPY java (name, ok) FROM STDIN", new StringReader(rows.toString())), 1000L);
                StringWriter out = new StringWriter();
                expect(c.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY (SELECT name FROM java) TO STDOUT", out), 1020L);
                s.setFetchSize(100); // a portal, fetched in parts
                try (ResultSet rs = s.executeQuery("SELECT id FROM java ORDER BY id")) {
                    expect(column(rs, "id").size(), 1020);
                }
            }
            c.commit();
            DatabaseMetaData m = c.getMetaData();
            expect(column(m.getCatalogs(), "TABLE_CAT"), List.of(args[2]));
            expect(column(m.getTables(null, "public", "jav_", new String[] {"TABLE", "VIEW"}), "TABLE_NAME"), List.of("java"));
            expect(column(m.getTables(null, null, "%", new String[] {"VIEW"}), "TABLE_NAME"), List.of("cheap"));
            expect(column(m.getColumns(null, null, "java", "%"), "COLUMN_NAME"), List.of("id", "name", "price", "ok", "at"));
            expect(column(m.getColumns(null, null, "java", "%"), "TYPE_NAME"), List.of("int8", "varchar", "numeric", "bool", "timestamp"));
            expect(column(m.getColumns(null, null, "java", "%"), "COLUMN_SIZE"), List.of("19", "40", "10", "1", "29"));
            expect(column(m.getPrimaryKeys(null, null, "java"), "COLUMN_NAME"), List.of("id"));
            if (!column(m.getSchemas(), "TABLE_SCHEM").contains("public")) throw new AssertionError("no schema public");
            expect(c.isValid(10), true);
            System.out.println("JDBC " + m.getDriverVersion());
        }
    }
}
