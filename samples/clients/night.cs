// Sends everything.json (UTF-8) and prints the counts and each record that failed or has a warning.
// The file: {"clinics": [...], "doctors": [...], "patients": [...], "appointments": [...]}
using System;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Threading.Tasks;

class Answer
{
    public int? Total { get; set; } // null when the request failed as a whole: Code and Detail say why
    public int Created { get; set; }
    public int Updated { get; set; }
    public int Unchanged { get; set; }
    public int Failed { get; set; }
    public Part Clinics { get; set; } = new Part();
    public Part Doctors { get; set; } = new Part();
    public Part Patients { get; set; } = new Part();
    public Part Appointments { get; set; } = new Part();
    public string Code { get; set; }
    public string Detail { get; set; }
}

class Part
{
    public List<Result> Results { get; set; } = new List<Result>();
}

class Result
{
    public int Index { get; set; }
    public bool Success { get; set; }
    public string Key { get; set; }
    public List<string> Warnings { get; set; } = new List<string>();
    public string Code { get; set; }
    public string Detail { get; set; }
    public Dictionary<string, List<string>> Errors { get; set; } = new Dictionary<string, List<string>>();
    public List<Candidate> Candidates { get; set; } = new List<Candidate>();
}

class Candidate
{
    public long? Id { get; set; }
    public string MatchedBy { get; set; }
}

static class Night
{
    const string Address = "http://127.0.0.1:5082";
    const int Attempts = 4;

    // One client for the whole program: one for each request would use up the sockets.
    static readonly HttpClient Client = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false })
    {
        BaseAddress = new Uri(Address),
        Timeout = TimeSpan.FromMinutes(15)
    };

    static readonly JsonSerializerOptions Json = new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        PropertyNameCaseInsensitive = true
    };

    static int Main()
    {
        Console.OutputEncoding = Encoding.UTF8;
        Client.DefaultRequestHeaders.Add("X-API-Key", Environment.GetEnvironmentVariable("API_KEY"));
        Client.DefaultRequestHeaders.Add("Prefer", "return=minimal");
        return Run().GetAwaiter().GetResult();
    }

    static async Task<int> Run()
    {
        HttpResponseMessage response;
        try
        {
            response = await Post("/api/healthcare/sync", File.ReadAllBytes("everything.json"));
        }
        catch (TaskCanceledException) // HttpClient's word for a timeout
        {
            return Fail($"No answer from {Address} within {Client.Timeout.TotalMinutes} minutes.");
        }
        catch (Exception error) when (error is HttpRequestException || error is IOException)
        {
            return Fail($"Sending to {Address} failed: {error.Message}");
        }

        var text = await response.Content.ReadAsStringAsync();
        try
        {
            return Tell((int)response.StatusCode, JsonSerializer.Deserialize<Answer>(text, Json));
        }
        catch (JsonException)
        {
            return Fail($"HTTP {(int)response.StatusCode}, and not from the service: {text}");
        }
    }

    // To send records twice is harmless, so it is tried again: when nobody answers, or the service is busy.
    static async Task<HttpResponseMessage> Post(string path, byte[] body)
    {
        for (var attempt = 1; ; attempt++)
        {
            var pause = TimeSpan.FromSeconds(attempt);
            try
            {
                // For JSON that you have as a string: new StringContent(json, Encoding.UTF8, "application/json")
                var content = new ByteArrayContent(body);
                content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
                var response = await Client.PostAsync(path, content);
                if (response.StatusCode != HttpStatusCode.ServiceUnavailable || attempt == Attempts)
                    return response;
                pause = response.Headers.RetryAfter?.Delta ?? pause;
            }
            catch (HttpRequestException) when (attempt < Attempts)
            {
            }
            await Task.Delay(pause);
        }
    }

    static int Tell(int status, Answer answer)
    {
        if (answer.Total == null)
            return Fail($"HTTP {status} {answer.Code}: {answer.Detail}");
        Console.WriteLine(
            $"total {answer.Total}, created {answer.Created}, updated {answer.Updated}, "
            + $"unchanged {answer.Unchanged}, failed {answer.Failed}");
        Tell("clinics", answer.Clinics);
        Tell("doctors", answer.Doctors);
        Tell("patients", answer.Patients);
        Tell("appointments", answer.Appointments);
        // The status alone does not tell: IsSuccessStatusCode is true for 207, too.
        return answer.Failed == 0 ? 0 : 1;
    }

    static void Tell(string entity, Part part)
    {
        foreach (var result in part.Results)
        {
            var name = $"{entity}[{result.Index}] {result.Key}";
            foreach (var warning in result.Warnings)
                Console.WriteLine($"{name} warning: {warning}");
            if (result.Success)
                continue;
            Console.WriteLine($"{name} {result.Code}: {result.Detail}");
            foreach (var error in result.Errors)
                Console.WriteLine($"  {error.Key}: {string.Join(" ", error.Value)}");
            foreach (var candidate in result.Candidates)
                Console.WriteLine($"  candidate: id {candidate.Id}, found by {candidate.MatchedBy}");
        }
    }

    static int Fail(string message)
    {
        Console.Error.WriteLine(message);
        return 1;
    }
}
