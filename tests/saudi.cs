// A clinic's program on a Windows that speaks Saudi Arabic: it writes dates as its culture does, and never thinks of it.
using System;
using System.Globalization;
using System.Net;
using System.Text;
using System.Threading;

class Saudi
{
    static void Main(string[] arguments)
    {
        Thread.CurrentThread.CurrentCulture = new CultureInfo("ar-SA");
        var born = new DateTime(1970, 3, 5);
        var booked = new DateTime(2026, 12, 1, 10, 30, 0);
        Post(arguments, "patient", $"{{\"patientNo\": \"P-1\", \"name\": \"Sara\", \"dateOfBirth\": \"{born:yyyy-MM-dd}\"}}");
        Post(arguments, "appointment", "{\"patientNo\": \"P-1\", \"appointmentNo\": \"A-1\", "
            + $"\"date\": \"{booked:yyyy-MM-ddTHH:mm:ss}\", \"timeFrom\": \"{booked:yyyy-MM-ddTHH:mm:ss}\"}}");
    }

    static void Post(string[] arguments, string path, string json)
    {
        var client = new WebClient { Encoding = Encoding.UTF8 };
        client.Headers["Content-Type"] = "application/json";
        client.Headers["X-API-Key"] = arguments[1];
        Console.WriteLine(client.UploadString($"{arguments[0]}/api/healthcare/{path}", json).Trim());
    }
}
